"""Turns revoked task ids into cancelled requests, on a thread that may block.

Celery tells of a revoke in its consumer's loop, which must not wait for Redis. It
answers nothing: the ledger tells the bridge whose request it is, and that one answers.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from agentsched.errors import LedgerError
from agentsched.ledger.protocol import WholeLedger
from agentsched.ledger.values import State
from agentsched.telemetry.events import BUG, REVOKE_FAILED, TASKS_REVOKED
from agentsched.telemetry.logs import say, where
from agentsched.wire.doorbell import Doorbell, task_ids
from agentsched.worker.leases import LeaseBook, Stop

KEEP_S = 60
"""For a request that is forgotten between the look at it and its cancellation."""


class Revokes:
    """Cancels what is revoked, in the order in which it hears of it."""

    def __init__(self, ledger: WholeLedger, leases: LeaseBook) -> None:
        """Starts no thread before the first revoke."""
        self._ledger = ledger
        self._leases = leases
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="revokes")

    def revoke(self, ids: frozenset[str], abort: Iterable[str] | None) -> None:
        """Cancel the requests that these task ids name; does not block.

        An id names its request, whichever of its takes it belongs to. What names no unanswered
        request is logged.

        Args:
            ids: as the operator gave them.
            abort: the keys of the requests among them that this process works on: their
                calls are aborted, and what runs elsewhere is cancelled, too. None: what
                runs goes on.
        """
        running = abort is not None
        for key in abort or ():
            # Its slot answers, which frees it at once.
            self._leases.stop_request(key, Stop.CANCELLED)
        self._submit(lambda: self._cancel_named(ids, running=running))

    def dropped(self, doorbell: Doorbell) -> None:
        """Cancel the request of a revoked doorbell, unless it runs; does not block."""
        self._submit(lambda: self._cancel(doorbell.epoch, [doorbell.key]))

    def close(self) -> None:
        """Wait for what is under way, for seconds at most; idempotent."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _submit(self, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except LedgerError as error:
                # Celery keeps the id: it drops the doorbell, and tells of it again.
                say(REVOKE_FAILED, detail=str(error))
            except Exception as error:  # noqa: BLE001  (a thread's edge)
                kind, lines = type(error).__name__, where(error.__traceback__)
                say(BUG, error=kind, where=lines)

        self._thread.submit(guarded)

    def _cancel_named(self, ids: frozenset[str], *, running: bool) -> None:
        epoch = self._ledger.views.epoch()
        named = self._named(epoch, ids) if epoch else {}
        if epoch:
            self._cancel(epoch, list(dict.fromkeys(named.values())), running=running)
        unknown = sorted(ids - named.keys())
        say(TASKS_REVOKED, task_ids=sorted(ids), unknown=unknown or None)

    def _named(self, epoch: str, ids: frozenset[str]) -> Mapping[str, str]:
        """Return task id -> key of the requests that are named."""
        found = self._ledger.snapshot(epoch)
        turns = {entry.facts.key: entry.turn for entry in found.ready}
        in_flight = [slot.key for slot in found.slots]
        views = self._ledger.inspect(epoch, in_flight)
        for key, view in zip(in_flight, views, strict=True):
            if view is not None:
                turns[key] = view.turn
        return {
            task_id: key
            for key, turn in turns.items()
            # One more: the doorbell of a take that is still to come.
            for task_id in ids.intersection(task_ids(key, epoch, turn + 1))
        }

    def _cancel(self, epoch: str, keys: list[str], *, running: bool = False) -> None:
        views = self._ledger.inspect(epoch, keys)
        for key, view in zip(keys, views, strict=True):
            if view and (running or view.state is not State.RUNNING):
                self._ledger.cancel(epoch, key, KEEP_S)
