"""Which tests run on one worker, in which order, and how many at once.

Without this every worker would start every module's stack. What takes long comes first,
so that small tests fill the gaps at the end.
"""

import os
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE

WORKERS_PER_CORE = 2
"""Tests of whole systems wait most of the time."""
BY_FILE = ("tests/unit/",)
"""So many and so small that to send them one by one takes longer than to run them."""


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """None of them for a few tests, whose start would take longer than they do."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    paths = [Path(arg.partition("::")[0]) for arg in config.args]
    if not any(path.is_dir() for path in paths):
        return 0
    return WORKERS_PER_CORE * len(os.sched_getaffinity(0))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group, sort, and give every limit the patience that deadlines have."""
    weights: dict[str, float] = {}
    for item in items:
        if name := _group(item):
            item.add_marker(pytest.mark.xdist_group(name))
        limit_s = _own_limit_s(item)
        place = name or item.nodeid
        weights[place] = weights.get(place, 0) + limit_s
        if limit_s:
            item.add_marker(pytest.mark.timeout(limit_s * PATIENCE), append=False)
    items.sort(key=lambda item: -weights[_group(item) or item.nodeid])


def _group(item: pytest.Item) -> str | None:
    """The file whose fixtures it shares with its neighbours; None: it is on its own."""
    if marked := item.get_closest_marker("xdist_group"):
        return str(marked.args[0])
    file = item.nodeid.partition("::")[0]
    if file.startswith(BY_FILE) or _shares_a_fixture(item):
        return file
    return None


def _shares_a_fixture(item: pytest.Item) -> bool:
    """Whether a fixture of its module (no session's) is made once for all its tests."""
    return any(
        definition.scope in {"module", "package", "class"}
        for definitions in item._fixtureinfo.name2fixturedefs.values()
        for definition in definitions
    )


def _own_limit_s(item: pytest.Item) -> float:
    """How long its author thought that it may take; 0: not long."""
    marked = item.get_closest_marker("timeout")
    return float(marked.args[0]) if marked else 0.0
