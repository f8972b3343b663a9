"""How work that takes long comes back into the loop's thread; it starts none itself."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from bridge.core import events as ev

Result = TypeVar("Result")

Later = Callable[[], list[ev.Event]]
"""What remains to be done in the loop's own thread when something has ended."""

Inbox = Callable[[Later], None]
"""Takes what has to go on in the loop's thread; called from any thread."""


def follow(
    work: Future[Result],
    inbox: Inbox,
    ended: Callable[[Result], list[ev.Event]],
    failed: Callable[[BaseException], list[ev.Event]],
) -> None:
    """Go on in the loop's thread when `work` has ended; what was cancelled is left.

    Args:
        work: is under way.
        inbox: the loop's.
        ended: takes what came of it.
        failed: takes the exception with which it failed.
    """

    def hand_over(done: Future[Result]) -> None:
        if done.cancelled():
            return
        if error := done.exception():
            inbox(lambda: failed(error))
        else:
            inbox(lambda: ended(done.result()))

    work.add_done_callback(hand_over)


def wake() -> list[ev.Event]:
    """Let the loop look at what it was asked."""
    return []


def failing(error: Exception) -> Later:
    """Let the loop end with what has ended a thread that it cannot do without."""

    def fail() -> list[ev.Event]:
        raise error

    return fail
