"""What compare.py measured, as a Markdown section with a table of ratios."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BEGIN = "<!-- compare.py writes from here -->"
END = "<!-- to here -->"


@dataclass(frozen=True)
class Case:
    """One comparison. Both sides get the options `shared`, and each its own."""

    name: str
    title: str
    rate: str  # field of the reports: more is better
    unit: str
    target: float | None  # least ratio of rates, ours over the peer's
    shared: str
    ours: str
    peer: str

    def our_options(self, threads: int) -> list[str]:
        return f"{self.shared} {self.ours} --threads {threads}".split()

    def peer_options(self, threads: int) -> list[str]:
        return f"{self.shared} {self.peer} --threads {threads}".split()


@dataclass(frozen=True)
class Round:
    """What both sides reported in one round of one case."""

    case: Case
    ours: dict[str, Any]
    peer: dict[str, Any]


@dataclass(frozen=True)
class Spread:
    median: float
    least: float
    most: float

    @staticmethod
    def of(values: list[float]) -> Spread:
        return Spread(statistics.median(values), min(values), max(values))


def ratios(rounds: list[Round], field: str) -> Spread:
    """Ours over the peer's, each ratio from one round: what slows a whole round slows both."""
    return Spread.of([r.ours[field] / r.peer[field] for r in rounds])


def median_of(reports: list[dict[str, Any]], field: str) -> float:
    return statistics.median(report[field] for report in reports)


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def verdict(met: bool) -> str:
    return "met" if met else "**missed**"


def row(case: Case, rounds: list[Round]) -> str:
    ours, peer = [r.ours for r in rounds], [r.peer for r in rounds]
    ratio = ratios(rounds, case.rate)
    target = "" if case.target is None else f"{case.target:g}, {verdict(ratio.median >= case.target)}"
    cells = [case.title, f"{number(median_of(ours, case.rate))} {case.unit}",
             f"{number(median_of(peer, case.rate))} {case.unit}",
             f"**{number(ratio.median)}** ({number(ratio.least)} to {number(ratio.most)})", target]
    if all(report["peak_rss_mib"] for report in ours + peer):
        memory = ratios(rounds, "peak_rss_mib").median
        cells += [f"{median_of(ours, 'peak_rss_mib'):,.0f} MiB", f"{median_of(peer, 'peak_rss_mib'):,.0f} MiB",
                  f"{number(memory)}, {verdict(memory <= 1)}"]
    else:
        cells += ["", "", "the system does not tell"]
    return f"| {' | '.join(cells)} |"


def table(rounds: list[Round]) -> str:
    by_case: dict[Case, list[Round]] = {}
    for r in rounds:
        by_case.setdefault(r.case, []).append(r)
    return "\n".join([
        "| case | megabyte4j | PyTorch | ratio (range) | target at least | peak memory, megabyte4j | PyTorch "
        "| ratio, target at most 1 |",
        "|---|--:|--:|--:|---|--:|--:|---|",
        *(row(case, of_case) for case, of_case in by_case.items())])


def section(rounds: list[Round], facts: dict[str, str], threads: int) -> str:
    """All of it; `facts` are lines such as machine and date, in their order."""
    cases = dict.fromkeys(r.case for r in rounds)
    commands = [line for case in cases for line in (
        f"megabyte4j bench {' '.join(case.our_options(threads))}",
        f"pytorch_megabyte.py {' '.join(case.peer_options(threads))}")]
    return "\n".join([
        *(f"- {what}: {words}" for what, words in facts.items()), "", table(rounds), "",
        "Each round ran these, a fresh process for each line; `--warmup` is what ran before the clock did:", "",
        "```", *commands, "```"])


def put_between_markers(document: Path, text: str) -> None:
    """Replaces what stands between the markers; the rest of the document stays as it is."""
    before, after = around_markers(document)
    document.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def around_markers(document: Path) -> tuple[str, str]:
    """What stands before and after them; ValueError if they are not both there, once and in order."""
    before, begin, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in before + after:
        raise ValueError(f"{document} must have the line {BEGIN} and below it the line {END}, each once; "
                         "the table goes between them")
    return before, after
