"""Has kombu's loop call one function, whichever thread asks for it.

The loop's own `call_soon` is for threads, too, but what it calls may not use `call_soon`
itself: kombu 5.7.0 runs that after its next wait, which may take a second
(docs/decisions/0018-wakeup.md). What a readable socket has it call is free of that.
"""

import contextlib
import socket
from collections.abc import Callable
from typing import Any


class Wakeup:
    """A pair of sockets: a byte in one ends the loop's wait for the other."""

    def __init__(self, call: Callable[[], None]) -> None:
        """Opens the sockets; close it.

        Args:
            call: what the loop shall call, once or more after each `ring`.
        """
        self._call = call
        self._rung = False
        self._reader, self._writer = socket.socketpair()
        self._reader.settimeout(0)
        self._writer.settimeout(0)

    def watch_in(self, loop: Any) -> None:  # noqa: ANN401  (kombu's Hub)
        """Have this loop watch; again for every connection, as it forgets then."""
        loop.add_reader(self._reader, self._hear)

    def ring(self) -> None:
        """Ask for the call; does not block, safe in every thread, also when closed."""
        if self._rung:
            return  # the loop has yet to hear of the one before
        self._rung = True
        with contextlib.suppress(OSError):
            self._writer.send(b"\0")

    def close(self) -> None:
        """Close the sockets, after the loop has ended. Idempotent."""
        self._reader.close()
        self._writer.close()

    def _hear(self) -> None:
        with contextlib.suppress(OSError):
            self._reader.recv(4096)
        self._rung = False  # before the call: what rings meanwhile has another one
        self._call()
