"""Which tests run on one worker, in which order, and how many at once.

Without this every worker would start every module's stack. What takes long comes first,
so that small tests fill the gaps at the end.
"""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[3]
WORKERS_PER_CORE, MAX_WORKERS = 2, 8
"""Tests of whole systems wait most of the time."""
BUSY = {"tests/unit", "tests/contracts", "tests/simulation"}
"""These do not."""
BY_FILE = "tests/unit/"
"""So many and so small that to send them one by one takes longer than to run them."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """What takes minutes runs when it is asked for: by `-m`, or by the name of its file."""
    if not config.option.markexpr and _names_a_folder(config):
        config.option.markexpr = "not long"


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """None of them for a few tests, whose start would take longer than they do."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    if not _names_a_folder(config):
        return 0
    cores = len(os.sched_getaffinity(0))
    inside = [path.relative_to(ROOT).parts[:2] for path in _paths(config)]
    if {"/".join(parts) for parts in inside} <= BUSY:
        return cores
    return min(MAX_WORKERS, WORKERS_PER_CORE * cores)


def _paths(config: pytest.Config) -> list[Path]:
    return [Path(arg.partition("::")[0]).resolve() for arg in config.args]


def _names_a_folder(config: pytest.Config) -> bool:
    return any(path.is_dir() for path in _paths(config))


class Groups(LoadScopeScheduling):
    """Sends a group of tests to one worker.

    xdist's own `loadgroup` does nothing with pytest 9.2: it writes a private attribute
    that is no longer read.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def pytest_xdist_make_scheduler(
    config: pytest.Config, log: Callable[..., Any]
) -> Groups | None:
    """Ours, unless another one than that of `addopts` is asked for."""
    return Groups(config, log) if config.option.dist == "loadscope" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort, and give every limit the patience that deadlines have."""
    weights: dict[str, float] = {}
    for item in items:
        marked = item.get_closest_marker("timeout")
        limit_s = float(marked.args[0]) if marked else 0.0
        group = group_of(item.nodeid)
        weights[group] = weights.get(group, 0) + limit_s
        if limit_s:
            item.add_marker(pytest.mark.timeout(limit_s * PATIENCE), append=False)
    items.sort(key=lambda item: -weights[group_of(item.nodeid)])


def group_of(nodeid: str) -> str:
    """The file, where its tests share what is made for them; else the test itself."""
    file = nodeid.partition("::")[0]
    return file if file.startswith(BY_FILE) or _shares_fixtures(file) else nodeid


@functools.cache
def _shares_fixtures(file: str) -> bool:
    return 'scope="module"' in (ROOT / file).read_text("utf-8")
