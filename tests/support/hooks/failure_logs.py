"""A failed test shows the ends of the logs that its processes wrote meanwhile."""

import time
from collections.abc import Generator
from pathlib import Path

import pytest

MAX_FILES = 12
MAX_LINES = 40
MAX_TAIL_BYTES = 65_536
_began_s = pytest.StashKey[float]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note when it began: a log that is older explains nothing."""
    item.stash[_began_s] = time.time()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach what there is, below what the test itself printed."""
    report = yield
    if report.failed:
        for file in _logs(item):
            report.sections.append((f"end of {file}", _tail(file)))
    return report


def _logs(item: pytest.Item) -> list[Path]:
    """Written since the test began, below this process's temporary folder."""
    folder = item.config._tmp_path_factory.getbasetemp()
    began_s = item.stash.get(_began_s, 0.0)
    # A link may lead to where a process was that is gone.
    found = [(f.stat().st_mtime, f) for f in folder.rglob("*.log") if f.is_file()]
    latest = sorted(((s, f) for s, f in found if s >= began_s), reverse=True)
    return [file for _, file in latest[:MAX_FILES]]


def _tail(file: Path) -> str:
    with file.open("rb") as log:
        log.seek(max(0, file.stat().st_size - MAX_TAIL_BYTES))
        lines = log.read().decode("utf-8", "replace").splitlines()
    return "\n".join(lines[-MAX_LINES:])
