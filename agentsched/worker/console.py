"""Lets a worker start and stop where what it prints has no room, as on a full disk.

Celery prints its banner, and in the handlers of signals a sentence, before it does what
it was asked to: an error there would end the start, and no SIGTERM would stop the worker.
It touches no logging, which drops by itself what it cannot write.
"""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

from celery.apps import worker as celery_worker


def print_where_there_is_room(program: Any) -> None:  # noqa: ANN401  (celery.apps.worker.Worker)
    """Have Celery go on where it cannot print; call it once, before the banner."""
    names: Any = celery_worker
    names.safe_say = _tried(names.safe_say)
    program.emit_banner = _tried(program.emit_banner)


def _tried(say: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(say)
    def said(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        with contextlib.suppress(OSError):
            say(*args, **kwargs)

    return said
