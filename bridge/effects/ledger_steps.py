"""Does the steps of the ledger that the core asks for, and answers for undone ones.

What a step means is the ledger's, whether it is tried is `executor.py`'s.
"""

from collections.abc import Callable
from dataclasses import replace

from agentsched.ledger.protocol import Ledger
from agentsched.ledger.values import AdmitOutcome, Admitted
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.effects.doorbells import Ringing
from bridge.effects.epoch_watch import EpochWatch
from bridge.observer import BridgeObserver

RequestStep = do.Admit | do.Withdraw | do.PlanStarts | do.Ring | do.Expire | do.Inspect
"""Steps of single requests."""

PartitionStep = (
    do.LoadPartition
    | do.TakeSnapshot
    | do.CountCalls
    | do.Cancel
    | do.RestoreDone
    | do.ForgetDone
)
"""Steps of partitions and of the whole ledger."""


class Steps:
    """The steps of one bridge.

    Args:
        ledger: where they are done.
        epochs: which epoch is open.
        bridge_id: the id under which the dispatcher lease was taken.
        ringing: sends the doorbells that belong to a step.
        observer: is told of what had an effect.
        now_ms: the clock.
    """

    def __init__(  # noqa: PLR0913  (all that a step touches)
        self,
        ledger: Ledger,
        epochs: EpochWatch,
        bridge_id: str,
        ringing: Ringing,
        observer: BridgeObserver,
        now_ms: Callable[[], int],
    ) -> None:
        self._ledger = ledger
        self._epochs = epochs
        self._id = bridge_id
        self._ringing = ringing
        self._observer = observer
        self._now_ms = now_ms

    def of_request(self, command: RequestStep) -> list[ev.Event]:
        """Do a step; blocks. Returns its answer, if it has one.

        Raises:
            LedgerUnavailable: it was not done, or its answer was lost.
            EpochChanged: nothing was done: the epoch is another one.
        """
        ledger, epoch, now_ms = self._ledger, self._epochs.epoch, self._now_ms()
        match command:
            case do.Admit(admissions):
                answers = tuple(ledger.admit(epoch, admissions))
                self._observer.admitted(admissions, answers)
                return [ev.AdmitAnswered(_places(command), answers, now_ms)]
            case do.Withdraw(keys):
                gone = tuple(ledger.withdraw(epoch, keys))
                return [ev.WithdrawAnswered(keys, gone)]
            case do.PlanStarts(plan):
                ours = replace(plan, dispatcher_id=self._id)
                return [ev.Planned(command, ledger.plan(epoch, ours), now_ms)]
            case do.Ring():
                self._ringing.ring(command)
            case do.Expire(key):
                self._note(command, done=ledger.expire(epoch, key))
            case do.Inspect(keys):
                views = tuple(ledger.inspect(epoch, keys))
                return [ev.Inspected(keys, views, now_ms)]
        return []

    def of_partition(self, command: PartitionStep) -> list[ev.Event]:
        """As `of_request`."""
        ledger, epoch, now_ms = self._ledger, self._epochs.epoch, self._now_ms()
        match command:
            case do.LoadPartition(source, start, end, answered):
                if answered:
                    ledger.forget_answered(epoch, source, answered)
                view = ledger.partition(epoch, source, start, end)
                return [ev.PartitionLoaded(source, view)]
            case do.TakeSnapshot():
                # The clock after the call: what the board lists is never too early.
                return [ev.Synced(ledger.snapshot(epoch), self._now_ms())]
            case do.CountCalls():
                totals = ledger.totals(epoch)
                calls = {model: one.calls for model, one in totals.items()}
                return [ev.CallsCounted(calls, now_ms)]
            case do.Cancel(key, keep_s, source, offset):
                ledger.cancel(epoch, key, keep_s)
                ledger.settle(epoch, source, offset)
                self._observer.did(command)
                return [ev.OffsetSettled(source, offset)]
            case do.RestoreDone(source, runs):
                ledger.restore_done(epoch, source, runs)
                # A paused bridge may have admitted them anew, before it knew.
                ledger.forget_answered(epoch, source, runs)
            case do.ForgetDone(source, watermark):
                ledger.forget_done(epoch, source, watermark)
        return []

    def _note(self, command: do.Command, *, done: bool) -> None:
        if done:
            self._observer.did(command)


def undone(command: do.Command, now_ms: int) -> list[ev.Event]:
    """Answer for a command that Redis did not take, or may not have taken."""
    match command:
        case do.Admit(admissions):
            full = (Admitted(AdmitOutcome.FULL),) * len(admissions)
            return [ev.AdmitAnswered(_places(command), full, now_ms)]
        case do.Withdraw(keys):
            return [ev.WithdrawAnswered(keys, (False,) * len(keys))]
        case do.PlanStarts():
            return [ev.Planned(command, None, now_ms)]
        case do.Cancel() | do.RestoreDone():
            return [ev.SettleFailed(command)]
        case do.MeetPeers():
            return [ev.PeersSeen(1, leading=False, live_slots={}, now_ms=now_ms)]
    return []


def _places(command: do.Admit) -> tuple[tuple[str, int], ...]:
    return tuple((a.facts.source, a.facts.offset) for a in command.admissions)
