"""MEGABYTE in PyTorch: the peer that megabyte4j is timed against.

On the CPU in float32, or on a GPU (--device cuda) in float32 or bf16. Eager it runs as most PyTorch programs do;
--compiled tries several ways to be fast, each in a process of its own, and reports the best. The check against the
golden data runs on the CPU in float32. Needs torch, and safetensors and numpy for the check:

    python3 -m venv peer && peer/bin/pip install torch numpy safetensors

    pytorch_megabyte.py --check GOLDEN_DIR                     compare with the golden data; exit 1 if it differs
    pytorch_megabyte.py --mode train --preset benchmark        time training steps, print JSON
    pytorch_megabyte.py --mode generate --preset benchmark     time generation, print JSON
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

try:
    import torch

    import pytorch_ways
    from pytorch_model import IN_ACTION, MEGABYTE, PRESETS, Config
    from pytorch_timed_generation import time_generation
    from pytorch_training import choose, time_training
    import pytorch_timed_generation
    import pytorch_training
except ImportError as missing:
    sys.exit(f"{missing}: install what the peer needs with `python3 -m venv peer && "
             "peer/bin/pip install torch numpy safetensors` and run it with peer/bin/python")


def device_memory(args: argparse.Namespace) -> dict:
    """What is taken of the GPU; PyTorch gives nothing back by itself, so this is the peak of what was timed. Measured as
    megabyte4j does."""
    if args.device != "cuda":
        return {}
    free, total = torch.cuda.mem_get_info()
    return {"device_description": torch.cuda.get_device_name(), "device_memory_mib": round((total - free) / 2**20, 3),
            "device_memory_share": round(1 - free / total, 3)}


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
    parser.add_argument("--patch-size", type=int, metavar="P",
                        help="bytes in a patch, of a global model as wide as the model's own")
    parser.add_argument("--dtype", choices=("float32", "bf16"), default="float32", help="in what it computes")
    parser.add_argument("--weights", choices=("float32", "bf16"), default="bf16",
                        help="with --dtype bf16 in training: bf16 throughout (default), as the original project does, or "
                             "float32 weights and optimiser state and autocast, as megabyte4j does")
    fast = parser.add_argument_group("speed")
    fast.add_argument("--compiled", action="store_true",
                      help="the best of several ways with torch.compile (max-autotune) and CUDA graphs")
    fast.add_argument("--ways", nargs="+", metavar="WAY", help=f"which; training: {', '.join(pytorch_training.WAYS)}; "
                      f"generation: {', '.join(pytorch_timed_generation.WAYS)}; default all")
    fast.add_argument("--limit", type=float, default=600, metavar="S", help="seconds for all of them; default 600")
    fast.add_argument("--way", default="eager", help="run this one way; choose: time ways to attend, for --compiled")
    fast.add_argument("--global-attention", metavar="WAY", help="see pytorch_attention.py; default products on the CPU, "
                                                                "rows (scaled_dot_product_attention) on a GPU")
    fast.add_argument("--local-attention", metavar="WAY", help="likewise")
    fast.add_argument("--one-hot", action=argparse.BooleanOptionalAction, default=False,
                      help="embeddings as products with rows of one 1 each")
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


def known_ways(args: argparse.Namespace) -> tuple[str, ...]:
    return pytorch_training.WAYS if args.mode == "train" else pytorch_timed_generation.WAYS


def measured(args: argparse.Namespace) -> dict:
    config = Config.read(args.config) if args.config else Config.preset(args.preset, args.variant)
    if args.patch_size:
        config = config.with_patch_size(args.patch_size)
    if args.compiled:
        program = [sys.executable, __file__, *(word for word in sys.argv[1:] if word != "--compiled")]
        rate = "kb_per_s" if args.mode == "train" else "bytes_per_s"
        return pytorch_ways.best(program, args.ways or list(known_ways(args)), args.limit, rate, args.mode == "train")
    if args.way == "choose":
        return choose(args, config, args.limit)
    result = time_training(args, config) if args.mode == "train" else time_generation(args, config)
    return {
        "implementation": "pytorch", "version": torch.__version__, "mode": args.mode,
        "model": str(args.config.name if args.config else args.preset), "variant": config.variant,
        "patch_size": config.P, "device": args.device, "dtype": args.dtype, "compiled": args.way != "eager",
        "way": args.way, "global_attention": args.global_attention, "local_attention": args.local_attention,
        "one_hot": args.one_hot, "threads": torch.get_num_threads(), "warmup": args.warmup,
        **result, **device_memory(args), "peak_rss_mib": peak_rss_mib(),
    }


def main() -> int:
    parser = arguments()
    args = parser.parse_args()
    if args.check is None and args.mode is None:
        parser.error("nothing to do: give --check GOLDEN_DIR, or --mode train, or --mode generate")
    for name, least in (("threads", 1), ("warmup", 0), ("batch", 1), ("seq_len", 1), ("steps", 1), ("context", 1),
                        ("new_bytes", 1), ("curve_steps", 0), ("clip", 0)):
        if getattr(args, name) < least:
            parser.error(f"--{name.replace('_', '-')} must be at least {least}")
    wrong = {*(args.ways or ()), args.way} - {*known_ways(args), "eager", "choose"}
    if wrong:
        parser.error(f"{', '.join(sorted(wrong))}: no such way; they are {', '.join(known_ways(args))}")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch sees no GPU here")
    usual = "rows" if args.device == "cuda" else "products"
    args.global_attention = args.global_attention or usual
    args.local_attention = args.local_attention or usual
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    try:
        if args.check is not None:
            from golden_check import check  # needs more than timing does
            if not check(args.check, 0 if args.mode else args.curve_steps, args.global_attention, args.local_attention,
                         args.one_hot):
                return 1
            args.check = None
        if args.mode is None:
            return 0
        print(json.dumps(measured(args)))
    except ImportError as missing:
        print(f"{parser.prog}: {missing}: --check needs numpy and safetensors, --data numpy", file=sys.stderr)
        return 2
    except OSError as problem:
        print(f"{parser.prog}: {problem.filename}: {problem.strerror}", file=sys.stderr)
        return 2
    except ValueError as problem:
        print(f"{parser.prog}: {problem}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
