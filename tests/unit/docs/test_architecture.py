"""The page of the layout and the layers name what there is, all of it, and once."""

import re
import tomllib
from collections import Counter
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
OWN = {"agentsched", "bridge"}
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def pieces() -> set[str]:
    """The packages, and the files beside them: `agentsched/ledger/`, `agentsched/wire/codec.py`."""
    packages = {
        f"{file.parent.relative_to(ROOT)}/"
        for own in OWN
        for file in (ROOT / own).rglob("__init__.py")
    }
    files = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "agentsched").glob("*.py")
        if not file.stem.startswith("__")
    }
    return files | packages - {"agentsched/"}


def named() -> list[str]:
    """What the page's table names in its first column, in whole paths."""
    rows = PAGE.partition("| folder | owns |\n|---|---|\n")[2].splitlines()
    found = []
    for row in takewhile(lambda line: line.startswith("| "), rows):
        first, *others = re.findall(r"`([^`]+)`", row.split(" | ")[0])
        folder = first.partition("/")[0]
        found += [first, *(f"{folder}/{other}" for other in others)]
    return found


def test_the_page_names_every_piece_once_and_none_that_has_gone():
    assert Counter(named()) == Counter(pieces())


def test_what_the_page_answers_is_there():
    rows = PAGE.partition("| where is ... | there |\n|---|---|\n")[2].splitlines()
    places = [
        place
        for row in takewhile(lambda line: line.startswith("| "), rows)
        for place in re.findall(r"`([^`]+/[^`]*)`", row.split(" | ")[1])
    ]
    assert len(places) >= 24
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_modules_are_named_after_what_they_are_not_after_an_activity():
    """CONTRIBUTING.md has the rule; `scheduling` is the field's word."""
    found = [
        str(file.relative_to(ROOT))
        for own in OWN
        for file in (ROOT / own).rglob("*ing.py")
    ]
    assert found == []


def layers() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return [
        name.strip()
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
        for layer in contract["layers"]
        for name in layer.split("|")
    ]


def modules() -> list[str]:
    """The packages and files directly below `agentsched` and `bridge`, as they are imported."""
    return sorted(
        f"{own}.{piece.stem}"
        for own in OWN
        for piece in (ROOT / own).iterdir()
        if piece.suffix == ".py" or (piece / "__init__.py").is_file()
        if piece.name != "__init__.py"
    )


@pytest.mark.parametrize("module", modules())
def test_each_module_has_a_place_in_the_layers(module):
    assert any(f"{layer}.".startswith(f"{module}.") for layer in layers())


def test_each_decision_has_a_number_of_its_own_that_its_title_repeats():
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [page.name[:4] for page in pages]
    assert len(set(numbers)) == len(numbers)
    for number, page in zip(numbers, pages, strict=True):
        assert page.read_text("utf-8").startswith(f"# {number}: ")
