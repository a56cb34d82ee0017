#!/usr/bin/env python3
"""Writes what ptxas says of the kernels into the table of docs/kernels.md; after `make kernels`.

Entry points that differ in a size alone share a row: name_{16,32}_bf16.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
RESOURCES = PROJECT / "native-build/out/kernel-resources.json"
PAGE = PROJECT / "docs/kernels.md"
HEADER = "| file | entry points | registers, sm_80 / sm_90a | static shared bytes |\n|---|---|---|--:|\n"
SIZE = re.compile(r"(?<=_)\d+(?=_|$)|(?<=[a-z])\d+(?=_(?:f32|bf16)\b|$)")
DTYPES = {"f32": "FLOAT", "bf16": "BFLOAT"}  # their digits are no sizes


def without_dtype(entry: str) -> str:
    return re.sub(r"_(f32|bf16)(?=_|$)", lambda found: "_" + DTYPES[found[1]], entry)


def with_dtype(entry: str) -> str:
    for dtype, name in DTYPES.items():
        entry = re.sub(rf"_{name}(?=_|$)", "_" + dtype, entry)
    return entry


def label(entries: list[str]) -> str:
    """The common name, with a brace of the sizes in each place where they differ."""
    sizes = list(zip(*(SIZE.findall(without_dtype(entry)) for entry in entries)))
    places = iter("{" + ",".join(dict.fromkeys(place)) + "}" if len(set(place)) > 1 else place[0] for place in sizes)
    return with_dtype(SIZE.sub(lambda _: next(places), without_dtype(entries[0])))


def table(figures: list[dict]) -> str:
    entries: dict[tuple[str, str], dict[str, dict]] = defaultdict(dict)
    for figure in figures:
        entries[figure["file"], figure["entry"]][figure["gpu"]] = figure
    families: dict[tuple[str, str], list[str]] = defaultdict(list)
    by_size = sorted(entries, key=lambda key: (key[0], [int(part) if part.isdigit() else 0
                                                        for part in SIZE.findall(without_dtype(key[1]))], key[1]))
    for file, entry in by_size:
        families[file, SIZE.sub("#", without_dtype(entry))].append(entry)
    rows = []
    last = None
    for (file, _), names in sorted(families.items()):
        machines = [entries[file, name] for name in names]
        registers = ", ".join(f"{m['sm_80']['registers']}/{m['sm_90a']['registers']}" for m in machines)
        shared = sorted({m["sm_80"]["sharedBytes"] for m in machines})
        rows.append(f"| {file if file != last else ''} | `{label(names)}` | {registers} | "
                    + (f"{shared[0]}" if len(shared) == 1 else f"{shared[0]} to {shared[-1]}") + " |\n")
        last = file
    return HEADER + "".join(rows)


def main() -> None:
    page = PAGE.read_text()
    start = page.index(HEADER)
    end = start + len(HEADER)
    while page[end:end + 1] == "|":
        end = page.index("\n", end) + 1
    PAGE.write_text(page[:start] + table(json.loads(RESOURCES.read_text())) + page[end:])


if __name__ == "__main__":
    main()
