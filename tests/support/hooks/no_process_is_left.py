"""A test that leaves a process behind has failed."""

import time
from collections.abc import Generator

import pytest

from tests.support import leftovers
from tests.support.waiting import PATIENCE, POLL_S

ENDING_S = 5
"""A process that was ended may be shown for a moment."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, None, None]:
    """Look once all that a module shares has been ended."""
    yield
    if nextitem is not None and nextitem.path == item.path:
        return
    deadline_s = time.monotonic() + ENDING_S * PATIENCE
    while (left := leftovers.found()) and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
    if left:
        leftovers.end(left)
        lines = "\n".join(f"{pid}, of {what}" for pid, what in left.items())
        pytest.fail(f"processes were left behind:\n{lines}", pytrace=False)
