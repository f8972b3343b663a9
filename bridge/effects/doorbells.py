"""Sends doorbells, and says in which queues some still lie; it decides on neither."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from agentsched.errors import DoorbellFailed
from agentsched.protocols import DoorbellSender
from agentsched.wire.doorbell import Doorbell
from bridge.core import commands as do
from bridge.core.rules import Rules
from bridge.effects.outage import Outage
from bridge.observer import BridgeObserver

Answer = TypeVar("Answer")


class Ringing:
    """The doorbells of one bridge."""

    def __init__(
        self,
        doorbells: DoorbellSender,
        rules: Rules,
        observer: BridgeObserver,
        now_ms: Callable[[], int],
    ) -> None:
        self._doorbells = doorbells
        self._outage = Outage(now_ms)
        self._rules = rules
        self._observer = observer

    def adopt(self, rules: Rules) -> None:
        """Ring for the models of another revision of the configuration."""
        self._doorbells.know(rules.settings.models)
        self._rules = rules

    def ring(self, command: do.Ring | do.RingAgain, doorbell: Doorbell) -> None:
        """Send a doorbell; one that fails is told, and the reconciler's."""
        try:
            self._ask(lambda: self._doorbells.ring([doorbell]))
        except DoorbellFailed as error:
            self._observer.doorbell_failed(doorbell, error)
        else:
            self._observer.did(command)

    def lying(self, models: Sequence[str]) -> dict[str, int]:
        """Return how many doorbells lie in the queue of each model; blocks."""
        settings = self._rules.settings
        queues = {
            name: model.queue for name in models if (model := settings.model(name))
        }
        try:
            return {
                name: self._ask(partial(self._doorbells.waiting, queue))
                for name, queue in queues.items()
            }
        except DoorbellFailed:
            return dict.fromkeys(models, 1)  # unknown: do not ring into it

    def _ask(self, ask: Callable[[], Answer]) -> Answer:
        """Ask Celery's broker, unless it was silent a moment ago."""
        if self._outage.lasts:
            raise DoorbellFailed("Celery's broker did not answer a moment ago")
        try:
            return ask()
        except DoorbellFailed:
            self._outage.begin()
            raise
