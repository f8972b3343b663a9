"""This bridge among the others: heartbeat, dispatcher lease, orders, its own report.

It carries orders over a loss of Redis; what follows from them the core decides.
"""

from collections.abc import Callable

from agentsched.ledger.operator_orders import Controls
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.rules import Rules
from bridge.effects.adapters import Outside
from bridge.effects.epoch_watch import EpochWatch
from bridge.observer import BridgeObserver

TOLD_FOR_MS = 60_000
"""How long an answer to an operator is kept."""

PresenceCommand = do.MeetPeers | do.ReadOrders | do.Report | do.AnswerQuestion


class Presence:
    """One bridge, as other bridges and operators see it.

    Args:
        outside: the adapters.
        rules: the configuration in force.
        bridge_id: random; also the id under which it takes the dispatcher lease.
        observer: is told of orders, and that Redis answered.
        address: where this bridge shows metrics and health; empty: nowhere.
    """

    def __init__(
        self,
        outside: Outside,
        rules: Rules,
        bridge_id: str,
        observer: BridgeObserver,
        address: Callable[[], str],
    ) -> None:
        self._out = outside
        self._rules = rules
        self._id = bridge_id
        self._observer = observer
        self._address = address
        self._controls = Controls()
        self.epochs = EpochWatch(outside.membership, self._begin_epoch)

    def adopt(self, rules: Rules) -> None:
        """Write the limits of another revision of the configuration.

        Raises:
            LedgerError: the old limits may be in force still.
        """
        self._out.ledger.set_limits(self.epochs.epoch, rules.limits())
        self._rules = rules

    def do(self, command: PresenceCommand) -> list[ev.Event]:
        """Carry out a command; blocks. Returns its answer, if it has one.

        Raises:
            LedgerUnavailable: Redis does not answer.
            EpochChanged: the epoch is another one.
        """
        match command:
            case do.MeetPeers(lead):
                peers = self._meet(lead=lead)
                self._observer.meter.redis.answered()
                return [peers]
            case do.ReadOrders():
                return [self._read_orders()]
            case do.Report(report):
                complete = report.model_copy(update={"http": self._address()})
                self._out.operations.report(self._id, complete, self._heartbeat_ttl_ms)
            case do.AnswerQuestion(question_id, findings):
                self._out.operations.answer(
                    question_id, self._id, findings, TOLD_FOR_MS
                )
        return []

    def leave(self) -> None:
        """Give up the lease and the heartbeat.

        Raises:
            LedgerUnavailable: then both run out by themselves.
        """
        self._out.membership.resign(self._id)
        self._out.membership.leave_bridge(self._id)

    @property
    def _heartbeat_ttl_ms(self) -> int:
        return int(self._rules.settings.timing.heartbeat_ttl_s * 1000)

    def _begin_epoch(self, epoch: str) -> None:
        # Ours only with its limits: else nothing could ever start in it.
        self._out.ledger.set_limits(epoch, self._rules.limits())
        # Only what a loss took: a paused model must not start because of one.
        self._out.operations.restore(self._controls)

    def _meet(self, *, lead: bool) -> ev.PeersSeen:
        membership, now_ms = self._out.membership, self._out.now_ms()
        bridges = membership.beat_bridge(self._id, self._heartbeat_ttl_ms)
        if not lead:
            membership.resign(self._id)
        lease_ms = int(self._rules.settings.timing.dispatcher_lease_s * 1000)
        leading = lead and membership.lead(self._id, lease_ms)
        ahead_ms = membership.now_ms() - self._out.now_ms()
        return ev.PeersSeen(bridges, leading, membership.live_slots(), now_ms, ahead_ms)

    def _read_orders(self) -> ev.OrdersSeen:
        now_ms = self._out.now_ms()
        orders = self._out.operations.orders(self.epochs.epoch, self._id)
        now, before = set(orders.controls), set(self._controls)
        self._observer.controlled(now - before, before - now)
        self._controls = orders.controls
        return ev.OrdersSeen(orders.controls, orders.questions, now_ms, orders.revision)
