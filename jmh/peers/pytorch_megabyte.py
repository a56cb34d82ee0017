#!/usr/bin/env python3
"""MEGABYTE in PyTorch: the peer that megabyte4j is timed against.

On the CPU in float32, or on a GPU (--device cuda) in float32 or bf16, eager or --compiled. The check against the golden
data runs on the CPU in float32. Needs torch, and safetensors and numpy for the check:

    python3 -m venv peer && peer/bin/pip install torch numpy safetensors

    pytorch_megabyte.py --check GOLDEN_DIR                     compare with the golden data; exit 1 if it differs
    pytorch_megabyte.py --mode train --preset benchmark        time training steps, print JSON
    pytorch_megabyte.py --mode generate --preset benchmark     time generation, print JSON
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import torch
    from torch import Tensor, nn

    from pytorch_model import (IN_ACTION, MEGABYTE, PRESETS, Config, Megabyte, generate, generate_cached,
                               training_flops)
except ImportError as missing:
    sys.exit(f"{missing}: install what the peer needs with `python3 -m venv peer && "
             "peer/bin/pip install torch numpy safetensors` and run it with peer/bin/python")


def bf16_inside(args: argparse.Namespace) -> torch.autocast:
    """Training in bf16: weights and optimiser state stay float32, as in megabyte4j."""
    return torch.autocast(args.device, torch.bfloat16, enabled=args.dtype == "bf16")


def finished(args: argparse.Namespace) -> float:
    """The time when all that was enqueued is done."""
    if args.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def batches(args: argparse.Namespace, config: Config) -> Iterator[Tensor]:
    """ids [batch, seq_len]: consecutive bytes of --data, over and over, or random bytes."""
    shape = args.batch, args.seq_len
    if args.data is None:
        random = torch.Generator().manual_seed(1)
        while True:
            yield torch.randint(0, min(256, config.V), shape, generator=random)
    import numpy  # not needed for random bytes
    data = torch.from_numpy(numpy.fromfile(args.data, dtype=numpy.uint8))
    size = args.batch * args.seq_len
    if len(data) < size:
        raise ValueError(f"{args.data} has {len(data)} bytes, but one batch needs {size}")
    while True:
        for first in range(0, len(data) - size + 1, size):
            yield data[first:first + size].view(shape).long()


def time_training(args: argparse.Namespace, config: Config) -> dict:
    if args.seq_len % config.P:
        raise ValueError(f"--seq-len {args.seq_len} is not a multiple of the patch size {config.P}")
    if config.variant == MEGABYTE and args.seq_len > config.T_MAX:
        raise ValueError(f"--seq-len {args.seq_len} is longer than the {config.T_MAX} positions of the model")
    model = Megabyte(config).use_fused_attention(args.fused_attention).to(args.device)

    def loss_of(ids: Tensor) -> Tensor:
        with bf16_inside(args):
            logits = model(ids)
        return model.loss(logits.float(), ids)

    if args.compiled:
        loss_of = torch.compile(loss_of, mode="max-autotune")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    data = batches(args, config)
    phases: list[tuple[float, ...]] = []
    for _ in range(args.warmup + args.steps):
        ids = next(data)
        start = finished(args)
        ids = ids.to(args.device)
        optimizer.zero_grad()
        loss = loss_of(ids)
        # On a GPU these two are when the work was enqueued; only the whole step is waited for.
        forward = time.perf_counter()
        loss.backward()
        backward = time.perf_counter()
        if args.clip:
            nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        optimizer.step()
        loss.item()
        end = finished(args)
        phases.append((end - start, forward - start, backward - forward, end - backward))
    steps, forward, backward, update = ([1e3 * t for t in phase] for phase in zip(*phases[args.warmup:]))
    median = statistics.median(steps)
    flops = training_flops(config, args.batch, args.seq_len)
    return {
        "batch": args.batch, "seq_len": args.seq_len, "clip": args.clip,
        "step_ms": rounded(steps), "median_ms": round(median, 3),
        **({} if args.device == "cuda" else {
            "forward_ms": round(statistics.median(forward), 3), "backward_ms": round(statistics.median(backward), 3),
            "optimizer_ms": round(statistics.median(update), 3)}),
        "kb_per_s": round(args.batch * args.seq_len / median, 3),
        "flops_per_step": flops, "gflop_per_s": round(flops / median / 1e6, 2),
    }


def time_generation(args: argparse.Namespace, config: Config) -> dict:
    length = args.context + args.new_bytes + config.P
    if config.variant == MEGABYTE and length > config.T_MAX:
        raise ValueError(f"--context {args.context} and --new-bytes {args.new_bytes} with padding exceed "
                         f"the {config.T_MAX} positions of the model")
    if args.cache and args.alignment == "reference":
        raise ValueError("--cache needs --alignment aligned: in the other one patch borders move with every byte, "
                         "so nothing can be kept")
    dtype = torch.bfloat16 if args.dtype == "bf16" else torch.float32
    model = Megabyte(config).use_fused_attention(args.fused_attention).to(args.device, dtype)
    if args.compiled:
        model.global_model = torch.compile(model.global_model, mode="max-autotune")
        model.local_model = torch.compile(model.local_model, mode="max-autotune")
    prompt = torch.randint(0, min(256, config.V), (1, args.context), generator=torch.Generator().manual_seed(1))
    prompt = prompt.to(args.device)

    def run(count: int) -> list[float]:
        stream = generate_cached(model, prompt, length) if args.cache else generate(model, prompt, args.alignment)
        times = []
        for _ in range(count):
            start = time.perf_counter()
            next(stream)
            times.append(1e3 * (time.perf_counter() - start))
        return times

    run(args.warmup)
    first, *others = run(1 + args.new_bytes)
    return {
        "context": args.context, "alignment": args.alignment, "cache": args.cache,
        "first_byte_ms": round(first, 3), "byte_ms": rounded(others),
        "bytes_per_s": round(1e3 * len(others) / sum(others), 3),
    }


def rounded(values: list[float]) -> list[float]:
    return [round(value, 3) for value in values]


def device_memory(args: argparse.Namespace) -> dict:
    """What is taken of the GPU; PyTorch gives nothing back, so this is the peak. Measured as megabyte4j does."""
    if args.device != "cuda":
        return {}
    free, total = torch.cuda.mem_get_info()
    return {"device_memory_mib": round((total - free) / 2**20, 3), "device_memory_share": round(1 - free / total, 3)}


def peak_rss_mib() -> float | None:
    """Largest resident memory of this process so far, where the system tells."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024, 1)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", type=Path, metavar="GOLDEN_DIR",
                        help="compare with the golden data; with --mode a shorter comparison before timing")
    parser.add_argument("--curve-steps", type=int, default=50, metavar="N",
                        help="steps of the golden training curve that --check repeats (default 50)")
    parser.add_argument("--mode", choices=("train", "generate"), help="what to time")
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--preset", choices=PRESETS, default="benchmark", help="sizes of the model")
    model.add_argument("--config", type=Path, metavar="FILE", help="sizes of the model from a config.json")
    parser.add_argument("--variant", choices=(MEGABYTE, IN_ACTION), default=IN_ACTION, help="of the preset")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to compute")
    parser.add_argument("--dtype", choices=("float32", "bf16"), default="float32",
                        help="bf16: training with autocast and float32 weights, generation with bf16 weights")
    parser.add_argument("--compiled", action="store_true", help="torch.compile, mode max-autotune")
    parser.add_argument("--fused-attention", action=argparse.BooleanOptionalAction, default=None,
                        help="scaled_dot_product_attention instead of two products; default on a GPU")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="default: one per core")
    parser.add_argument("--warmup", type=int, default=2, help="steps, or generated bytes, that are not timed")
    train = parser.add_argument_group("--mode train")
    train.add_argument("--batch", type=int, default=1, help="sequences in a step")
    train.add_argument("--seq-len", type=int, default=2048, help="bytes in a sequence")
    train.add_argument("--steps", type=int, default=10, help="steps that are timed")
    train.add_argument("--clip", type=float, default=0.0, help="clip gradients to this global norm; 0: do not")
    train.add_argument("--data", type=Path, metavar="FILE", help="bytes to train on; default: random")
    gen = parser.add_argument_group("--mode generate")
    gen.add_argument("--context", type=int, default=512, help="bytes in the prompt")
    gen.add_argument("--new-bytes", type=int, default=32, help="bytes that are timed, after a first one")
    gen.add_argument("--alignment", choices=("aligned", "reference"), default="aligned", help="where padding goes")
    gen.add_argument("--cache", action="store_true", help="keep keys and values instead of computing all again")
    return parser


def main() -> int:
    parser = arguments()
    args = parser.parse_args()
    if args.check is None and args.mode is None:
        parser.error("nothing to do: give --check GOLDEN_DIR, or --mode train, or --mode generate")
    for name, least in (("threads", 1), ("warmup", 0), ("batch", 1), ("seq_len", 1), ("steps", 1), ("context", 1),
                        ("new_bytes", 1), ("curve_steps", 0), ("clip", 0)):
        if getattr(args, name) < least:
            parser.error(f"--{name.replace('_', '-')} must be at least {least}")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch sees no GPU here")
    if args.fused_attention is None:
        args.fused_attention = args.device == "cuda"
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    try:
        if args.check is not None:
            from golden_check import check  # needs more than timing does
            if not check(args.check, 0 if args.mode else args.curve_steps, args.fused_attention):
                return 1
        if args.mode is None:
            return 0
        config = Config.read(args.config) if args.config else Config.preset(args.preset, args.variant)
        result = time_training(args, config) if args.mode == "train" else time_generation(args, config)
    except ImportError as missing:
        print(f"{parser.prog}: {missing}: --check needs numpy and safetensors, --data numpy", file=sys.stderr)
        return 2
    except OSError as problem:
        print(f"{parser.prog}: {problem.filename}: {problem.strerror}", file=sys.stderr)
        return 2
    except ValueError as problem:
        print(f"{parser.prog}: {problem}", file=sys.stderr)
        return 2
    print(json.dumps({
        "implementation": "pytorch", "version": torch.__version__, "mode": args.mode,
        "model": str(args.config.name if args.config else args.preset), "variant": config.variant,
        "device": args.device, "dtype": args.dtype, "compiled": args.compiled,
        "fused_attention": args.fused_attention, "threads": torch.get_num_threads(), "warmup": args.warmup,
        **result, **device_memory(args), "peak_rss_mib": peak_rss_mib(),
    }))
    return 0


if __name__ == "__main__":
    sys.exit(main())
