"""What may run at once; it follows from the configuration, orders and live workers."""

import sys
from collections.abc import Mapping

from agentsched.scheduling.board import Board


class Supply:
    """The capacity of the models that may start something.

    Args:
        capacity: (model, endpoint) -> requests in flight.
        live: model -> slots of its live workers.
        max_in_flight: over all models; 0: no further limit.
    """

    def __init__(
        self,
        capacity: Mapping[tuple[str, str], int],
        live: Mapping[str, int],
        max_in_flight: int = 0,
    ) -> None:
        self.endpoints: dict[str, list[str]] = {}
        self.capacity: dict[str, int] = {}
        for (model, endpoint), requests in capacity.items():
            self.endpoints.setdefault(model, []).append(endpoint)
            self.capacity[model] = self.capacity.get(model, 0) + requests
        self._live = live
        self.max_in_flight = max_in_flight

    def live(self, model: str) -> int:
        """Return how many requests of a model its workers could run at once."""
        return min(self.capacity.get(model, 0), self._live.get(model, 0))

    def room(self, board: Board, model: str) -> int:
        """Return how many requests more a model's capacity allows; 0 or more."""
        return max(0, self.capacity.get(model, 0) - board.in_use(model))

    def room_over_all(self, board: Board) -> int:
        """Return how many requests more the limit over all models allows."""
        if not self.max_in_flight:
            return sys.maxsize
        return max(0, self.max_in_flight - board.slots_in_use())

    def is_bound(self, board: Board) -> bool:
        """Return whether that limit keeps slots free which could start something."""
        if not self.max_in_flight:
            return False
        waiting = {
            model
            for (models, _), _ in board.flows()
            for model in models
            if model in self.capacity
        }
        free = sum(max(0, self.live(model) - board.in_use(model)) for model in waiting)
        return self.room_over_all(board) < free
