"""How many requests a client may have outstanding: places, given in the order of asking.

It knows neither requests nor Kafka. A place is a future, so that a thread and a
coroutine can wait for one in the same way.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future


class Room:
    """Places for requests and for the bytes that Kafka has not acknowledged yet.

    Closed at first: whoever asks waits until `open`. Safe to use from several threads.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        """Bound the requests, and the bytes; one larger request may go alone."""
        self._lock = threading.Lock()
        self._most, self._most_bytes = most, most_bytes
        self._taken = self._bytes = 0
        self._waiting: deque[tuple[Future[None], int]] = deque()
        self.is_open = False
        self._end: Callable[[], Exception] | None = None

    def open(self) -> None:
        """Begin to give places; again is harmless."""
        with self._lock:
            self.is_open = True
        self._give()

    def take(self, size: int) -> "Future[None]":
        """Ask for a place for a request of `size` bytes; it is given when this is done.

        The future fails with what `refuse` or `close` say. Who stops waiting calls
        `abandon`; whoever got a place gives it back in two steps, `acknowledged` and
        `leave`.
        """
        place: Future[None] = Future()
        with self._lock:
            self._waiting.append((place, size))
        self._give()
        return place

    def abandon(self, place: "Future[None]", size: int) -> None:
        """Stop waiting for a place, which may have been given meanwhile."""
        if place.cancel() or place.cancelled() or place.exception() is not None:
            return
        self.acknowledged(size)
        self.leave()

    def acknowledged(self, size: int) -> None:
        """Give the bytes of one request back."""
        with self._lock:
            self._bytes -= size
        self._give()

    def leave(self) -> None:
        """Give the place of one request back."""
        with self._lock:
            self._taken -= 1
        self._give()

    def refuse(self, error: Callable[[], Exception]) -> None:
        """Fail all who wait now, each with an error of its own."""
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
        for place, _ in waiting:
            if place.set_running_or_notify_cancel():
                place.set_exception(error())

    def close(self, error: Callable[[], Exception]) -> None:
        """Fail all who wait, now and later."""
        with self._lock:
            self._end = error
        self.refuse(error)

    def _give(self) -> None:
        while (place := self._next()) is not None:
            # Outside the lock: whoever waits may ask again in here.
            if self._end is not None:
                place.set_exception(self._end())
            else:
                place.set_result(None)

    def _next(self) -> "Future[None] | None":
        with self._lock:
            while self._waiting:
                place, size = self._waiting[0]
                if self._end is None and not self._fits(size):
                    return None
                self._waiting.popleft()
                # Running futures cannot be cancelled: the place is this one's now.
                if place.set_running_or_notify_cancel():
                    if self._end is None:
                        self._taken += 1
                        self._bytes += size
                    return place
        return None

    def _fits(self, size: int) -> bool:
        if not self.is_open or self._taken >= self._most:
            return False
        return self._bytes == 0 or self._bytes + size <= self._most_bytes
