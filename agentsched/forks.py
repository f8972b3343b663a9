"""What a forked child does with what its parent opened: leaves it alone, and begins anew.

Threads end at a fork, and sockets have two owners after it: librdkafka's handles are of no
use in the child, and to end one there would wait for its threads without end. Whoever has
such a handle says here how it begins anew; that happens inside `os.fork`, in the child.
"""

import atexit
import contextlib
import ctypes
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

Instance = TypeVar("Instance")

EXIT_PRIORITY = 10
"""Of what multiprocessing calls at a child's end: any number, or it would not be called."""

_begin_anew: weakref.WeakKeyDictionary[Any, Callable[[Any], None]] = (
    weakref.WeakKeyDictionary()
)


def in_child(instance: Instance, begin_anew: Callable[[Instance], None]) -> None:
    """Have `begin_anew(instance)` called in every child, as long as the instance lives.

    It replaces locks, because another thread of the parent may have held one, and must
    not take any; what the child uses later is opened later.
    """
    _begin_anew[instance] = begin_anew


def leave(handle: object) -> None:
    """Keep a handle of the parent for as long as the child lives; untouched.

    Not even the end of Python may destroy it, so no reference of ours is enough.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(handle))


def settle(futures: Iterable[Future[Any]], error: Callable[[], Exception]) -> None:
    """Fail in the child what only the parent will hear of.

    The callbacks are the parent's: none is called here.
    """
    for future in futures:
        # `concurrent.futures` has no public way: a lock that another thread held at the
        # fork stays locked here.
        future._condition = threading.Condition()  # noqa: SLF001
        future._done_callbacks.clear()  # type: ignore[attr-defined]  # noqa: SLF001
        future._waiters.clear()  # noqa: SLF001
        if not future.done():
            future.set_exception(error())


def at_exit(callback: Callable[[], object]) -> Callable[[], None]:
    """Call it at an orderly end of this process; returns what takes that back.

    A child of `multiprocessing` ends without what `atexit` has.
    """
    atexit.register(callback)
    # Who has not imported it is none of its children.
    processes = sys.modules.get("multiprocessing")
    if processes is None or processes.parent_process() is None:
        return lambda: atexit.unregister(callback)
    finalize = sys.modules["multiprocessing.util"].Finalize
    at_childs_end = finalize(None, callback, exitpriority=EXIT_PRIORITY)

    def take_back() -> None:
        atexit.unregister(callback)
        at_childs_end.cancel()

    return take_back


def _in_child() -> None:
    for instance, begin_anew in list(_begin_anew.items()):
        # One that fails must not leave the others with the locks of the parent.
        with contextlib.suppress(Exception):
            begin_anew(instance)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_in_child)
