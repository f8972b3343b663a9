"""The page of the suite names what there is."""

import re
from pathlib import Path

from benchmarks.suite.run import MEASURES
from benchmarks.suite.systems import SYSTEMS

PAGE = (Path(__file__).parents[3] / "docs" / "performance.md").read_text("utf-8")


def first_cells():
    return [
        row.split(" | ")[0].strip("| ")
        for row in re.findall(r"^\|.*", PAGE, re.MULTILINE)
    ]


def test_every_system_is_on_it():
    assert set(re.findall(r"`([\w-]+)`", " ".join(first_cells()))) >= SYSTEMS.keys()


def test_every_measure_is_on_it():
    assert set(first_cells()) >= MEASURES.keys()
