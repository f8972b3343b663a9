"""Sends doorbells; whom it rings for the core decides."""

from collections.abc import Callable

from agentsched.errors import DoorbellFailed
from agentsched.protocols import DoorbellSender
from bridge.core import commands as do
from bridge.core.rules import Rules
from bridge.effects.outage import Outage
from bridge.observer import BridgeObserver


class Ringing:
    """The doorbells of one bridge."""

    def __init__(
        self,
        doorbells: DoorbellSender,
        observer: BridgeObserver,
        now_ms: Callable[[], int],
    ) -> None:
        self._doorbells = doorbells
        self._outage = Outage(now_ms)
        self._observer = observer

    def adopt(self, rules: Rules) -> None:
        """Ring for the models of another revision of the configuration."""
        self._doorbells.know(rules.settings.models)

    def ring(self, command: do.Ring) -> None:
        """Send doorbells; that they failed is told, and they are rung again."""
        try:
            self._send(command)
        except DoorbellFailed as error:
            for doorbell in command.doorbells:
                self._observer.doorbell_failed(doorbell, error)
        else:
            self._observer.did(command)

    def _send(self, command: do.Ring) -> None:
        """Ask Celery's broker, unless it was silent a moment ago."""
        if self._outage.lasts:
            raise DoorbellFailed("Celery's broker did not answer a moment ago")
        try:
            self._doorbells.ring(command.doorbells)
        except DoorbellFailed:
            self._outage.begin()
            raise
