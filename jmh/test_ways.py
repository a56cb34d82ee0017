#!/usr/bin/env python3
"""Tests of peers/pytorch_ways.py: python3 jmh/test_ways.py. They need neither Java nor PyTorch."""

from __future__ import annotations

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "peers"))
import pytorch_ways

# Stands for the peer: each way behaves in a way of its own.
PROGRAM = """
import json, sys, time
way = sys.argv[sys.argv.index("--way") + 1]
chosen = "--global-attention" in sys.argv
if way == "choose":
    print(json.dumps({"global_attention": "flex", "local_attention": "sums", "one_hot": False}))
elif way == "broken" or way == "picky" and chosen:
    sys.exit("no such kernel")
elif way == "endless":
    time.sleep(60)
else:
    print("noise")
    print(json.dumps({"kb_per_s": {"slow": 1, "fast": 2, "picky": 3}[way], "options": sys.argv[1:]}))
"""


class WaysTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        program = Path(folder.name) / "program.py"
        program.write_text(PROGRAM, encoding="utf-8")
        self.program = [sys.executable, str(program)]
        self.addCleanup(setattr, pytorch_ways, "LEAST_S", pytorch_ways.LEAST_S)
        pytorch_ways.LEAST_S = 0

    def best(self, *ways: str, limit: float = 30, choosing: bool = False) -> dict:
        return pytorch_ways.best(self.program, list(ways), limit, "kb_per_s", choosing)

    def test_the_fastest_counts_and_all_are_named(self) -> None:
        report = self.best("slow", "fast", "broken")
        self.assertEqual(report["kb_per_s"], 2)
        self.assertEqual((report["ways"]["slow"], report["ways"]["fast"]), (1, 2))
        self.assertIn("no such kernel", report["ways"]["broken"])

    def test_a_way_without_end_keeps_nothing_that_was_ready(self) -> None:
        report = self.best("slow", "endless", "fast", limit=3)
        self.assertEqual(report["kb_per_s"], 1)
        self.assertRegex(report["ways"]["endless"], "not ready within [0-9]+ s")

    def test_ways_get_what_was_chosen(self) -> None:
        report = self.best("slow", choosing=True)
        self.assertEqual(report["options"][-5:],
                         ["--global-attention", "flex", "--local-attention", "sums", "--no-one-hot"])

    def test_where_the_choice_works_nowhere_the_usual_one_is_taken(self) -> None:
        report = self.best("picky", choosing=True)
        self.assertEqual(report["kb_per_s"], 3)
        self.assertEqual(set(report["ways"]), {"picky", "picky, usual attention"})

    def test_where_nothing_works_it_is_said_why(self) -> None:
        with self.assertRaisesRegex(ValueError, "no way works: broken: exit status 1: no such kernel"):
            self.best("broken")


if __name__ == "__main__":
    unittest.main()
