"""Times greedy generation in PyTorch: byte by byte, or patch by patch as a CUDA graph."""

from __future__ import annotations

import argparse
import time
from functools import partial

import torch
from torch import Tensor

from pytorch_generation import PatchDecoder, generate, generate_cached
from pytorch_model import MEGABYTE, Config, Megabyte
from pytorch_training import captured, device_memory

# A patch as one CUDA graph: eager, or layers compiled, with attention by scaled_dot_product_attention or as sums.
WAYS = ("graph", "layers", "layers-sums")


def time_generation(args: argparse.Namespace, config: Config) -> dict:
    length = args.context + max(args.new_bytes, args.warmup) + 2 * config.P
    if config.variant == MEGABYTE and length > config.T_MAX:
        raise ValueError(f"--context {args.context} and --new-bytes {args.new_bytes} with padding exceed "
                         f"the {config.T_MAX} positions of the model")
    if args.alignment == "reference" and (args.cache or args.way != "eager"):
        raise ValueError("--cache and --compiled need --alignment aligned: in the other one patch borders move with "
                         "every byte, so nothing can be kept")
    if args.way != "eager" and not args.cache:
        raise ValueError("--compiled keeps keys and values; give --cache")
    dtype = torch.bfloat16 if args.dtype == "bf16" else torch.float32
    model = Megabyte(config).use_attention(args.global_attention, args.local_attention).to(args.device, dtype)
    model.requires_grad_(False)
    random = torch.Generator().manual_seed(1)
    prompt = torch.randint(0, min(256, config.V), (args.batch, args.context), generator=random).to(args.device)
    if args.way == "eager":
        run = partial(by_bytes, args, model, prompt, length)
    else:
        run = ByPatches(args, model, prompt, length).run
    run(args.warmup)
    first, *others = run(1 + args.new_bytes)
    return {
        "batch": args.batch, "context": args.context, "alignment": args.alignment, "cache": args.cache,
        "first_byte_ms": round(first, 3), "byte_ms": [round(time, 3) for time in others],
        "bytes_per_s": round(1e3 * args.batch * len(others) / sum(others), 3), **device_memory(args),
    }


def by_bytes(args: argparse.Namespace, model: Megabyte, prompt: Tensor, length: int, count: int) -> list[float]:
    """Times of so many bytes, each waited for."""
    stream = generate_cached(model, prompt, length) if args.cache else generate(model, prompt, args.alignment)
    times = []
    for _ in range(count):
        start = time.perf_counter()
        chosen, _logits = next(stream)
        chosen.tolist()
        times.append(1e3 * (time.perf_counter() - start))
    return times


class ByPatches:
    """Runs ahead of the host: patches are enqueued one behind the other, and their bytes arrive in pinned memory."""

    @torch.inference_mode()
    def __init__(self, args: argparse.Namespace, model: Megabyte, prompt: Tensor, length: int):
        self.cuda = args.device == "cuda"
        self.prompt = prompt
        self.size = model.config.P
        compiled = args.way != "graph"
        # As for decoding with small batches elsewhere: schedules of generated kernels are searched, too.
        torch._inductor.config.coordinate_descent_tuning = compiled
        self.decoder = PatchDecoder(model, len(prompt), length, args.way == "layers-sums", compiled)
        self.decoder.read(prompt)
        self.one_patch = captured(self.decoder.one_patch, args.device)
        self.arrived = torch.zeros((length // self.size + 2, *self.decoder.ids.shape), dtype=torch.long,
                                   pin_memory=self.cuda)

    @torch.inference_mode()
    def run(self, count: int) -> list[float]:
        """Times of so many bytes: the first with the prompt, the others as patches arrive, shared among their bytes."""
        begin = time.perf_counter()
        self.decoder.read(self.prompt)
        given = self.prompt.shape[1] % self.size
        patches = -(-(count + given) // self.size)
        events = [torch.cuda.Event() for _ in range(patches)] if self.cuda else []
        ends = []
        for i in range(patches):
            self.one_patch()
            self.arrived[i].copy_(self.decoder.ids, non_blocking=self.cuda)
            if self.cuda:
                events[i].record()
            else:
                ends.append(time.perf_counter())
        for event in events:
            event.synchronize()
            ends.append(time.perf_counter())
        times: list[float] = []
        for i, end in enumerate(ends):
            fresh = self.size - (given if i == 0 else 0)
            if i == 0:  # its other bytes come at once
                times += [1e3 * (end - begin)] + [0.0] * (fresh - 1)
            else:
                times += [1e3 * (end - ends[i - 1]) / fresh] * fresh
        return times[:count]
