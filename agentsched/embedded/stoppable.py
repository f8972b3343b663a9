"""Owns one habit: what can be stopped can stand in a `with` statement."""

from types import TracebackType
from typing import Protocol, Self


class Stoppable(Protocol):
    """Something that runs from its start until `stop`."""

    def stop(self) -> object:
        """End it; blocks; may be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
