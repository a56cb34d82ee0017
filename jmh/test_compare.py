#!/usr/bin/env python3
"""Tests of compare.py and ratio_table.py: python3 jmh/test_compare.py. They need neither Java nor PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import compare
from ratio_table import BEGIN, END, Case, Round, number, put_between_markers, ratios, row, table

CASE = Case("some-case", "some case", "kb_per_s", "KB/s", 1.5, "--mode train", "--warmup 9", "--warmup 1")


def report(rate: float, memory: float | None = 100.0) -> dict[str, object]:
    return {"kb_per_s": rate, "peak_rss_mib": memory}


class RatioTableTest(unittest.TestCase):
    def test_the_ratio_is_the_median_of_ratios_within_rounds(self) -> None:
        rounds = [Round(CASE, report(ours), report(peer)) for ours, peer in ((10, 5), (2, 4), (9, 3))]
        spread = ratios(rounds, "kb_per_s")  # the ratio of the medians would be 9 / 4
        self.assertEqual((spread.median, spread.least, spread.most), (2.0, 0.5, 3.0))

    def test_an_even_number_of_rounds_has_the_mean_of_the_middle_two(self) -> None:
        rounds = [Round(CASE, report(rate), report(1)) for rate in (1, 2, 4, 8)]
        self.assertEqual(ratios(rounds, "kb_per_s").median, 3.0)

    def test_a_row_shows_rates_ratio_range_and_targets(self) -> None:
        rounds = [Round(CASE, report(3.2, 100), report(2, 80)), Round(CASE, report(3.0, 100), report(2, 80)),
                  Round(CASE, report(4.0, 100), report(2, 80))]
        self.assertEqual(row(CASE, rounds), "| some case | 3.20 KB/s | 2.00 KB/s | **1.60** (1.50 to 2.00) | 1.5, met "
                                            "| 100 MiB | 80 MiB | 1.25, **missed** |")

    def test_a_missed_target_is_said(self) -> None:
        self.assertIn("| 1.5, **missed** |", row(CASE, [Round(CASE, report(1.49), report(1))]))

    def test_unknown_memory_is_no_figure(self) -> None:
        self.assertIn("| the system does not tell |", row(CASE, [Round(CASE, report(2, None), report(1))]))

    def test_a_table_has_one_row_of_as_many_cells_as_its_head_for_each_case(self) -> None:
        other = Case("other", "other case", "kb_per_s", "KB/s", None, "", "", "")
        one, two = Round(CASE, report(2), report(1)), Round(other, report(3), report(1))
        lines = table([one, two, one, two]).splitlines()
        self.assertEqual([line.split(" | ")[0] for line in lines[2:]], ["| some case", "| other case"])
        self.assertEqual({line.count("|") for line in lines}, {9})

    def test_numbers_have_three_digits_that_count(self) -> None:
        self.assertEqual([number(v) for v in (0.456, 1.149, 9.996, 44.96, 99.96, 12345.6)],
                         ["0.46", "1.15", "10.0", "45.0", "100", "12,346"])

    def test_only_what_stands_between_the_markers_is_replaced(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            document = Path(folder) / "document.md"
            document.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n", encoding="utf-8")
            put_between_markers(document, "new")
            self.assertEqual(document.read_text(encoding="utf-8"), f"above\n{BEGIN}\nnew\n{END}\nbelow\n")
            for broken in ("none", f"{END} {BEGIN}", f"{BEGIN}{BEGIN}{END}", f"{BEGIN}{END}{END}"):
                document.write_text(broken, encoding="utf-8")
                with self.assertRaisesRegex(ValueError, "each once"):
                    put_between_markers(document, "new")
                self.assertEqual(document.read_text(encoding="utf-8"), broken)


class ParseTest(unittest.TestCase):
    def test_the_last_line_is_the_report(self) -> None:
        output = f"something else\n{json.dumps(report(7) | {'version': '1'})}\n"
        self.assertEqual(compare.parse(output, "kb_per_s", compare.PYTORCH)["kb_per_s"], 7)

    def test_anything_else_is_refused_by_name(self) -> None:
        others = '"version": "1", "peak_rss_mib": 1}'
        for output in ("", "text", "[]", "null", "{}", '{"kb_per_s": 1}', '{"kb_per_s": 0, ' + others,
                       '{"kb_per_s": "1", ' + others, '{"kb_per_s": NaN, ' + others):
            with self.subTest(output), self.assertRaisesRegex(compare.Failure, "^the output of PyTorch does not end"):
                compare.parse(output, "kb_per_s", compare.PYTORCH)

    def test_reports_of_different_work_are_refused(self) -> None:
        with self.assertRaisesRegex(compare.Failure, "megabyte4j reports batch 1 and the peer 2"):
            compare.require_same_work({"batch": 1}, {"batch": 2})


# Stands for either side: notes that it was called, then reports, or fails if its name says so.
ACTOR = """#!{python}
import json, pathlib, sys
me = pathlib.Path(sys.argv[0])
with open(me.parent / "calls", "a") as calls:
    print(me.name, "check" if "--check" in sys.argv else "time", file=calls)
if "broken" in me.name:
    sys.exit("broken: as it should be")
print(json.dumps(dict(version="1", java="25", device_description="some device", kb_per_s=len(me.name),
                      peak_rss_mib=50)))
"""


class WholeRunTest(unittest.TestCase):
    """The script itself, with actors for both sides."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        self.document = self.folder / "document.md"
        self.document.write_text(f"{BEGIN}\nold\n{END}\n", encoding="utf-8")
        for name in ("ours", "py", "broken"):
            (self.folder / name).write_text(ACTOR.format(python=sys.executable), encoding="utf-8")
            (self.folder / name).chmod(0o755)

    def run_script(self, *options: str, ours: str = "ours", python: str = "py") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, compare.__file__, "--megabyte4j", self.folder / ours, "--python", self.folder / python,
             "--cases", "train-small", "--out", self.document, *options], capture_output=True, text=True)

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def test_rounds_take_turns_in_who_goes_first(self) -> None:
        done = self.run_script("--rounds", "3", "--golden", str(self.folder))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.calls(), ["py check", "ours time", "py time", "py time", "ours time", "ours time",
                                        "py time"])
        text = self.document.read_text(encoding="utf-8")
        self.assertIn("| 4.00 KB/s | 2.00 KB/s | **2.00** (2.00 to 2.00) | 1.5, met | 50 MiB | 50 MiB | 1.00, met |",
                      text)
        self.assertIn("passed its check", text)
        self.assertNotIn(str(self.folder), text)
        raw = [json.loads(line) for line in
               (self.folder / "document/compare.jsonl").read_text(encoding="utf-8").splitlines()]
        self.assertEqual([r["case"] for r in raw[1:]], ["train-small"] * 3)

    def test_a_peer_that_fails_its_check_is_not_timed(self) -> None:
        done = self.run_script("--golden", str(self.folder), python="broken")
        self.assertEqual((done.returncode, self.calls()), (1, ["broken check"]))
        self.assertIn("failed its check", done.stderr)
        self.assertIn("old", self.document.read_text(encoding="utf-8"))

    def test_without_golden_data_the_document_says_that_nothing_was_checked(self) -> None:
        self.assertEqual(self.run_script("--rounds", "1").returncode, 0)
        self.assertIn("not checked in this run", self.document.read_text(encoding="utf-8"))

    def test_failures_are_sentences_with_the_last_words_of_who_failed(self) -> None:
        done = self.run_script(ours="broken")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, "compare.py: megabyte4j failed with exit code 1; its last words: "
                                      "broken: as it should be\n")

    def test_what_cannot_be_started_is_named(self) -> None:
        done = self.run_script(ours="absent")
        self.assertEqual(done.stderr, f"compare.py: {self.folder}/absent cannot be started: "
                                      "No such file or directory\n")

    def test_a_document_without_markers_is_refused_before_anything_runs(self) -> None:
        self.document.write_text("nothing\n", encoding="utf-8")
        self.assertEqual((self.run_script().returncode, self.calls()), (1, []))


if __name__ == "__main__":
    unittest.main()
