"""The best of several ways to run the same thing. Each has a process of its own: a time limit, a failure or the memory
of one is none of another's."""

from __future__ import annotations

import json
import subprocess
import sys
import time

LEAST_S = 20  # below that, no way is begun
CHOICE_SHARE = 0.3  # of the time, for choosing how to attend


def report_of(command: list[str], limit: float) -> tuple[dict | None, str]:
    """The report in the last line of a command's output, or what went wrong."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return None, f"not ready within {limit:.0f} s"
    sys.stderr.write(done.stderr)
    try:
        return json.loads(done.stdout.strip().rpartition("\n")[2]), ""
    except ValueError:
        said = done.stderr.strip().rpartition("\n")[2]
        return None, f"exit status {done.returncode}: {said[:200]}"


def best(program: list[str], ways: list[str], limit: float, rate: str, choosing: bool) -> dict:
    """Runs `program --way WAY` for each way and returns the report of the fastest, with the rates of all.

    @param choosing whether `program --way choose` first says how to attend
    """
    deadline = time.monotonic() + limit
    chosen: dict = {}
    options: list[str] = []
    if choosing:
        report, problem = report_of([*program, "--way", "choose", "--limit", str(CHOICE_SHARE * limit)],
                                    1.5 * CHOICE_SHARE * limit)
        chosen = report or {"problem": problem}
        if report:
            options = ["--global-attention", report["global_attention"], "--local-attention", report["local_attention"],
                       "--one-hot" if report["one_hot"] else "--no-one-hot"]
    rates: dict[str, object] = {}
    winner: dict | None = None
    # Should a choice that is fastest by itself work in no step, the usual one is the last resort.
    attempts = [(way, way, options) for way in ways]
    if options:
        attempts.append((ways[0] + ", usual attention", ways[0], []))
    for name, way, chosen_options in attempts:
        left = deadline - time.monotonic()
        if winner and chosen_options != options:
            break
        if left < LEAST_S:
            rates[name] = "no time was left"
            continue
        report, problem = report_of([*program, "--way", way, *chosen_options], left)
        rates[name] = report[rate] if report else problem
        if report and (winner is None or report[rate] > winner[rate]):
            winner = report
    if winner is None:
        raise ValueError("no way works: " + "; ".join(f"{name}: {problem}" for name, problem in rates.items()))
    return winner | {"ways": rates, "choice": chosen}
