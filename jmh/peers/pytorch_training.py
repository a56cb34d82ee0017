"""Training steps in PyTorch: eager, and the ways to make them fast, of which pytorch_ways takes the best."""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from pytorch_attention import candidates, named
from pytorch_model import MEGABYTE, Config, Megabyte, Transformer, layer, training_flops

# How a step is made fast, the one that is ready soonest first:
#   layers    each layer compiled by itself, all of one stack by the same code; the whole step is one CUDA graph
#   graph     forward, loss and backward compiled as one; the whole step is one CUDA graph
#   inductor  the same, with the CUDA graphs that torch.compile makes, and the optimiser after them
WAYS = ("layers", "graph", "inductor")


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


def compiled(function: Callable, mode: str = "max-autotune-no-cudagraphs") -> Callable:
    return torch.compile(function, mode=mode, dynamic=False)


def captured(step: Callable[[], object], device: str, before: Callable[[], None] = lambda: None) -> Callable[[], None]:
    """The step as a CUDA graph; it works on tensors that stay where they are and does not wait for the device.
    Elsewhere the step itself, after the same warm-up."""
    if device != "cuda":
        step()
        return step
    # Compilation, tuning and the memory of optimisers and libraries come first, on a stream of their own.
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    before()
    gc.collect()
    torch.cuda.empty_cache()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        step()
    return graph.replay


class Step:
    """A training step: forward, loss, backward, clipping if asked for, AdamW."""

    def __init__(self, args: argparse.Namespace, config: Config):
        self.args = args
        bf16 = args.dtype == "bf16"
        self.autocast = bf16 and args.weights == "float32"
        stored = torch.bfloat16 if bf16 and not self.autocast else torch.float32
        model = self.model = Megabyte(config).use_attention(args.global_attention, args.local_attention)
        model.to(args.device, stored).prepare(args.seq_len, torch.bfloat16 if bf16 else torch.float32)
        model.one_hot = args.one_hot
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True,
                                           capturable=args.device == "cuda")
        self.ids = torch.zeros((args.batch, args.seq_len), dtype=torch.long, device=args.device)
        self.staged = torch.zeros(self.ids.shape, dtype=torch.long, pin_memory=args.device == "cuda")
        self.loss = torch.zeros((), device=args.device)
        self.forward = self.loss_of
        self.run: Callable[[], object] = self.all_of_it
        if args.way == "layers":
            model.g_transformer.layer = model.l_transformer.layer = compiled(layer)
            for part in ("global_input", "local_input", "loss"):
                setattr(model, part, compiled(getattr(model, part)))
        elif args.way == "graph":
            self.forward = compiled(self.loss_of)
        elif args.way == "inductor":
            self.forward = compiled(self.loss_of, "max-autotune")
        if args.way in ("layers", "graph"):
            self.run = captured(self.all_of_it, args.device, self.optimizer.zero_grad)

    def loss_of(self, ids: Tensor) -> Tensor:
        with torch.autocast(self.args.device, torch.bfloat16, enabled=self.autocast):
            logits = self.model(ids)
        return self.model.loss(logits, ids)

    def all_of_it(self) -> None:
        self.optimizer.zero_grad()
        loss = self.forward(self.ids)
        loss.backward()
        if self.args.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.args.clip)
        self.optimizer.step()
        self.loss.copy_(loss.detach())

    def __call__(self, ids: Tensor) -> float:
        """ids on the host; waits for the loss, and so for nearly all of the step."""
        self.staged.copy_(ids)
        self.ids.copy_(self.staged, non_blocking=True)
        self.run()
        return self.loss.item()


def finished(args: argparse.Namespace) -> float:
    """The time when all that was enqueued is done."""
    if args.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def time_training(args: argparse.Namespace, config: Config) -> dict:
    if args.seq_len % config.P:
        raise ValueError(f"--seq-len {args.seq_len} is not a multiple of the patch size {config.P}")
    if config.variant == MEGABYTE and args.seq_len > config.T_MAX:
        raise ValueError(f"--seq-len {args.seq_len} is longer than the {config.T_MAX} positions of the model")
    step = Step(args, config)
    data = batches(args, config)
    steps = []
    for number in range(args.warmup + args.steps):
        ids = next(data)
        start = finished(args)
        loss = step(ids)
        end = finished(args)
        if number >= args.warmup:
            steps.append(1e3 * (end - start))
        elif number == args.warmup - 1 and args.device == "cuda":
            torch.cuda.empty_cache()  # what only compilation and warm-up needed does not count as the step's memory
    median = statistics.median(steps)
    flops = training_flops(config, args.batch, args.seq_len)
    return {
        "batch": args.batch, "seq_len": args.seq_len, "clip": args.clip, "optimizer": "adamw",
        "weights": args.weights if args.dtype == "bf16" else "float32", "loss": round(loss, 4),
        "step_ms": [round(time, 3) for time in steps], "median_ms": round(median, 3),
        "kb_per_s": round(args.batch * args.seq_len / median, 3),
        "flops_per_step": flops, "gflop_per_s": round(flops / median / 1e6, 2), **device_memory(args),
    }


def device_memory(args: argparse.Namespace) -> dict:
    """What is taken of the GPU, while everything is still there; PyTorch gives nothing back by itself, so this is the
    peak of what was timed. Measured as megabyte4j does."""
    if args.device != "cuda":
        return {}
    free, total = torch.cuda.mem_get_info()
    return {"device_description": torch.cuda.get_device_name(), "device_memory_mib": round((total - free) / 2**20, 3),
            "device_memory_share": round(1 - free / total, 3)}


def microseconds(function: Callable[[], object], device: str) -> float:
    """Median of a call, replayed as a graph on a GPU, so that launches do not count."""
    run = captured(function, device)
    times = []
    for _ in range(10):
        if device == "cuda":
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            run()
            end.record()
            end.synchronize()
            times.append(1e3 * start.elapsed_time(end))
        else:
            begin = time.perf_counter()
            run()
            times.append(1e6 * (time.perf_counter() - begin))
    return statistics.median(times)


def forward_and_backward(function: Callable[..., Tensor], *inputs: Tensor) -> Callable[[], None]:
    leaves = [x for x in inputs if x.requires_grad]
    gradient = torch.randn_like(function(*inputs))

    def run() -> None:
        torch.autograd.grad(function(*inputs), leaves, gradient)

    return run


def choose(args: argparse.Namespace, config: Config, limit: float) -> dict:
    """Times each way to attend, and to look up embeddings, by itself, forward and backward, compiled; the fastest.
    Those that cannot be, or that the time does not suffice for, are left out."""
    begin = time.monotonic()
    dtype = torch.bfloat16 if args.dtype == "bf16" else torch.float32
    with torch.device("meta"):
        model = Megabyte(config)
    times: dict[str, dict[str, object]] = {}

    def try_each(what: str, names: list[str], make: Callable[[str], Callable[[], None]], usual: str,
                 share: float) -> str:
        found = times[what] = {}
        for name in names:
            if time.monotonic() > begin + share * limit:
                break
            try:
                torch.compiler.reset()
                found[name] = round(microseconds(make(name), args.device), 1)
            except Exception as problem:  # whatever a kernel or the compiler finds wrong with it
                found[name] = str(problem).strip().partition("\n")[0][:80]
        measured = {name: value for name, value in found.items() if isinstance(value, float)}
        return min(measured, key=measured.get) if measured else usual

    def attention(stack: Transformer, batch: int, length: int) -> Callable[[str], Callable[[], None]]:
        def make(name: str) -> Callable[[], None]:
            way = named(name)
            prepared = way.prepare(stack.shape(0, length, length), torch.device(args.device), dtype)
            q, k, v = (torch.randn(shape, device=args.device, dtype=dtype, requires_grad=True) for shape in (
                (batch, length, stack.heads, stack.size), (batch, length, stack.size), (batch, length, stack.size)))
            attend = compiled(way.attend, None)
            return forward_and_backward(lambda *qkv: attend(*qkv, prepared), q, k, v)
        return make

    def lookup(name: str) -> Callable[[], None]:
        model.one_hot = name == "products"
        rows_of = compiled(model.rows_of, None)
        table = torch.randn((config.V, config.D_L), device=args.device, dtype=dtype, requires_grad=True)
        ids = torch.randint(0, 256, (args.batch, args.seq_len), device=args.device)
        return forward_and_backward(lambda weight: rows_of(weight, ids), table)

    patches = args.seq_len // config.P
    one_hot = try_each("embeddings", ["lookup", "products"], lookup, "lookup", 0.6) == "products"
    of_global = try_each("global_attention", candidates(short=False),
                         attention(model.g_transformer, args.batch, patches), "rows", 0.6)
    of_local = try_each("local_attention", candidates(short=True),
                        attention(model.l_transformer, args.batch * patches, config.P), "products", 1)
    return {"global_attention": of_global, "local_attention": of_local, "one_hot": one_hot, "microseconds": times}
