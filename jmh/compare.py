#!/usr/bin/env python3
"""Times megabyte4j against PyTorch and writes the ratios into docs/benchmarks.md.

Each round runs `megabyte4j bench` and peers/pytorch_megabyte.py once for each case, in fresh processes one after the
other; who goes first changes with every round. Ratios are taken within a round. Needs only Python's standard library;
the interpreter of --python needs what the peer needs.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from ratio_table import Case, Round, around_markers, number, put_between_markers, section

PROJECT = Path(__file__).resolve().parent.parent
PEER = PROJECT / "jmh/peers/pytorch_megabyte.py"
OURS, PYTORCH = "megabyte4j", "PyTorch"
REPORT_FIELDS = {OURS: ("version", "java", "device_description", "peak_rss_mib"), PYTORCH: ("version", "peak_rss_mib")}
PROCESS_LIMIT_S = 3600  # for a process that hangs

# The JIT compiler needs some thousand calls of each kernel, hence the longer warm-up of megabyte4j: it is over when
# step times no longer fall. Of PyTorch the first steps fill caches of memory and of attention biases.
CASES = {case.name: case for case in (
    Case("train-benchmark-1", "training, `benchmark`, T = 2048, batch 1", "kb_per_s", "KB/s", 1.15,
         "--mode train --preset benchmark --seq-len 2048 --batch 1 --steps 10", "--warmup 10", "--warmup 3"),
    Case("train-benchmark-2", "training, `benchmark`, T = 2048, batch 2", "kb_per_s", "KB/s", 1.15,
         "--mode train --preset benchmark --seq-len 2048 --batch 2 --steps 10", "--warmup 10", "--warmup 3"),
    Case("train-small", "training, `small`, T = 1024, batch 4", "kb_per_s", "KB/s", 1.5,
         "--mode train --preset small --seq-len 1024 --batch 4 --steps 30", "--warmup 40", "--warmup 5"),
    Case("generate", "generation, `benchmark`, context 512, PyTorch computes all again for each byte",
         "bytes_per_s", "bytes/s", 30,
         "--mode generate --preset benchmark --context 512 --new-bytes 64", "--warmup 256", "--warmup 2"),
    Case("generate-cached", "generation, `benchmark`, context 512, PyTorch with caches too",
         "bytes_per_s", "bytes/s", None,
         "--mode generate --preset benchmark --context 512 --new-bytes 64", "--warmup 256", "--warmup 16 --cache"),
    Case("generate-bf16-weights",
         "generation, `benchmark`, context 512, PyTorch with caches, megabyte4j with bf16 weights",
         "bytes_per_s", "bytes/s", None,
         "--mode generate --preset benchmark --context 512 --new-bytes 64", "--warmup 256 --weights bf16",
         "--warmup 16 --cache"),
)}

# Both reports must agree on these, or they measured different things.
COMMON_FIELDS = ("mode", "model", "variant", "patch_size", "dtype", "threads", "batch", "seq_len", "clip", "optimizer",
                 "flops_per_step", "context", "alignment")


class Failure(Exception):
    """A sentence for the user."""


def launcher() -> Path:
    """What `make dist` made."""
    found = sorted(PROJECT.glob("dist/megabyte4j-*/bin/megabyte4j"))
    if len(found) != 1:
        raise Failure(f"dist/ holds {len(found)} megabyte4j launchers instead of one; run `make dist`, "
                      "or name a launcher with --megabyte4j")
    return found[0]


def run(command: list[str], name: str) -> str:
    """Its standard output."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROCESS_LIMIT_S)
    except OSError as problem:
        raise Failure(f"{command[0]} cannot be started: {problem.strerror}") from problem
    except subprocess.TimeoutExpired as problem:
        raise Failure(f"{name} did not end within {PROCESS_LIMIT_S} seconds") from problem
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip() or "it said nothing"
        raise Failure(f"{name} failed with exit code {done.returncode}; its last words: {said.splitlines()[-1]}")
    return done.stdout


def parse(output: str, rate: str, name: str) -> dict[str, Any]:
    """The report, which is the last line."""
    fields = REPORT_FIELDS[name]
    try:
        report = json.loads(output.strip().rpartition("\n")[2])
        if report[rate] > 0 and all(field in report for field in fields):
            return report
    except (ValueError, KeyError, TypeError):
        pass
    raise Failure(f"the output of {name} does not end with a line of JSON that has {', '.join(fields)} and a positive "
                  f"{rate}")


def require_same_work(ours: dict[str, Any], peer: dict[str, Any]) -> None:
    for field in COMMON_FIELDS:
        if ours.get(field) != peer.get(field):
            raise Failure(f"megabyte4j reports {field} {ours.get(field)} and the peer {peer.get(field)}: "
                          "they did not do the same work")


def measure(case: Case, ours_first: bool, args: argparse.Namespace) -> Round:
    commands = {
        OURS: [str(args.megabyte4j), "bench", *case.our_options(args.threads), "--json"],
        PYTORCH: [args.python, str(PEER), *case.peer_options(args.threads)]}
    order = (OURS, PYTORCH) if ours_first else (PYTORCH, OURS)
    reports = {name: parse(run(commands[name], name), case.rate, name) for name in order}
    require_same_work(reports[OURS], reports[PYTORCH])
    return Round(case, reports[OURS], reports[PYTORCH])


def check_peer(args: argparse.Namespace) -> str:
    """Nothing is timed before it computes what it should. Returns what to write about it."""
    if args.golden is None:
        return "not checked in this run, which had no `--golden`"
    print("Checking PyTorch against the golden data ...", file=sys.stderr)
    command = [args.python, str(PEER), "--check", str(args.golden), "--threads", str(args.threads)]
    try:
        passed = subprocess.run(command, timeout=PROCESS_LIMIT_S).returncode == 0
    except OSError as problem:
        raise Failure(f"{args.python} cannot be started: {problem.strerror}; name the interpreter of an environment "
                      "with torch, numpy and safetensors with --python") from problem
    except subprocess.TimeoutExpired as problem:
        raise Failure(f"the check of PyTorch did not end within {PROCESS_LIMIT_S} seconds") from problem
    if not passed:
        raise Failure(f"the PyTorch peer failed its check against {args.golden}, see above, so it is not timed")
    return "passed its check against the golden data before it was timed"


def processor() -> str:
    """Its model as the system names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    if sys.platform == "darwin":
        return run(["sysctl", "-n", "machdep.cpu.brand_string"], "sysctl").strip()
    return platform.processor() or platform.machine()


def operating_system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError, AttributeError):
        return f"{platform.system()} {platform.release()}"


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (f"{processor()}, {os.cpu_count()} cores, {memory:.0f} GiB of memory, {operating_system()}, "
            f"{platform.machine()}")


def command_line() -> str:
    """As it was called, without folders that only this machine has."""
    options = os.environ.get("MEGABYTE4J_OPTS")
    words = [f"MEGABYTE4J_OPTS='{options}'"] if options else []
    words += ["python3", "jmh/compare.py"]
    words += [f"…/{Path(word).name}" if Path(word).is_absolute() else word for word in sys.argv[1:]]
    return " ".join(words)


def publish(rounds: list[Round], count: int, facts: dict[str, str], args: argparse.Namespace) -> None:
    """Table and raw figures, after each round, so that an interrupted run keeps the rounds it has."""
    last = rounds[-1]
    facts = facts | {
        "rounds": f"{count}, medians over them",
        "versions": f"megabyte4j {last.ours['version']} on Java {last.ours['java']}; PyTorch {last.peer['version']}",
        "megabyte4j's device": last.ours["device_description"]}
    raw = args.out.with_suffix("") / "compare.jsonl"
    raw.parent.mkdir(exist_ok=True)
    lines = [facts, *({"case": r.case.name, "ours": r.ours, "peer": r.peer} for r in rounds)]
    raw.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    put_between_markers(args.out, section(rounds, facts, args.threads))


def compare(args: argparse.Namespace) -> None:
    around_markers(args.out)  # before hours of work, not after them
    args.megabyte4j = args.megabyte4j or launcher()
    facts = {"date": datetime.date.today().isoformat(), "machine": machine(), "command": f"`{command_line()}`"}
    facts["PyTorch peer"] = check_peer(args)
    rounds: list[Round] = []
    for count in range(1, args.rounds + 1):
        for case in (CASES[name] for name in args.cases):
            done = measure(case, count % 2 == 1, args)
            rounds.append(done)
            print(f"round {count} of {args.rounds}, {case.name}: megabyte4j {number(done.ours[case.rate])} {case.unit}"
                  f", PyTorch {number(done.peer[case.rate])} {case.unit}", file=sys.stderr)
        publish(rounds, count, facts, args)
    print(f"{args.out} has the table", file=sys.stderr)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="how often each case runs; default 5")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE",
                        help=f"what to compare: {', '.join(CASES)}; default all")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="of each side; default 2")
    parser.add_argument("--python", default=sys.executable, metavar="FILE",
                        help="interpreter with torch, numpy and safetensors; default the one that runs this")
    parser.add_argument("--megabyte4j", type=Path, metavar="FILE", help="launcher; default what `make dist` made")
    parser.add_argument("--golden", type=Path, metavar="DIR",
                        help="golden data to check PyTorch against; it is not timed if it fails")
    parser.add_argument("--out", type=Path, default=PROJECT / "docs/benchmarks.md", metavar="FILE",
                        help="document whose table is replaced; default docs/benchmarks.md")
    return parser


def main() -> int:
    parser = arguments()
    args = parser.parse_args()
    if args.rounds < 1 or args.threads < 1:
        parser.error("--rounds and --threads must be at least 1")
    try:
        compare(args)
    except (Failure, ValueError) as problem:
        print(f"{parser.prog}: {problem}", file=sys.stderr)
        return 1
    except OSError as problem:
        print(f"{parser.prog}: {problem.filename}: {problem.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted; whole rounds that were done are kept", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
