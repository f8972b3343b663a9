"""Sends doorbells; whom it rings for the core decides."""

from agentsched.errors import DoorbellFailed
from agentsched.protocols import DoorbellSender
from bridge.core import commands as do
from bridge.core.rules import Rules
from bridge.observer import BridgeObserver


class Ringing:
    """The doorbells of one bridge."""

    def __init__(self, doorbells: DoorbellSender, observer: BridgeObserver) -> None:
        self._doorbells = doorbells
        self._observer = observer

    def adopt(self, rules: Rules) -> None:
        """Ring for the models of another revision of the configuration."""
        self._doorbells.know(rules.settings.models)

    def ring(self, command: do.Ring) -> None:
        """Send doorbells; that they failed is told, and they are rung again."""
        try:
            self._doorbells.ring(command.doorbells)
        except DoorbellFailed as error:
            for doorbell in command.doorbells:
                self._observer.doorbell_failed(doorbell, error)
        else:
            self._observer.did(command)
