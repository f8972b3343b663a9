"""The doorbell: the Celery message that wakes a free slot of a worker.

It names the request for which it rings, and reserves nothing: the slot takes what is
first then. It holds ids and routing facts only. It may be lost or come twice; the ledger
is the truth.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from agentsched.errors import CodecError, ErrorCode
from agentsched.wire.request_facts import RequestFacts

TASK_NAME = "agentsched.run"
DOORBELL_VERSION = 2
"""Version 1 rang for a reservation: what is `turn` now was called `ring`."""
MAX_TURN = 1_000_000
"""No request is taken so often; who is told of a larger number shall not count to it."""
_TASK_ID_SPACE = UUID("6f2a3c5e-8d0b-4f5c-9e57-0c8f0a6f1b11")


@dataclass(frozen=True, slots=True)
class Doorbell:
    """Ids and routing facts of the request that stands first."""

    key: str
    turn: int
    """The number that the next take of the request gets; see `Taken.turn`."""
    epoch: str
    model: str
    cls: str
    agent_id: str
    correlation_id: str

    @classmethod
    def of(cls, facts: RequestFacts, turn: int, epoch: str, model: str) -> "Doorbell":
        """Make the doorbell for the take of a request that has this number."""
        return cls(
            key=facts.key,
            turn=turn,
            epoch=epoch,
            model=model,
            cls=facts.cls,
            agent_id=facts.agent_id,
            correlation_id=facts.correlation_id,
        )

    @property
    def task_id(self) -> str:
        """Celery's id of that take.

        Another one for each: Celery drops a repeated id that was revoked.
        """
        return _task_id(self.key, self.epoch, self.turn)

    def to_wire(self) -> dict[str, Any]:
        """Return the task's keyword arguments."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return fields | {"version": DOORBELL_VERSION}

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> "Doorbell":
        """Read the task's keyword arguments; unknown ones are ignored.

        Raises:
            CodecError: a field is missing or of another type, or the version is not known.
        """
        version = data.get("version")
        if version == 1 and "ring" in data:
            data = {**data, "turn": data["ring"]}
        elif version != DOORBELL_VERSION:
            raise CodecError(
                ErrorCode.MALFORMED,
                f"a doorbell of version {version!s:.20}, this worker reads"
                f" {DOORBELL_VERSION}: upgrade this worker (docs/how-to/upgrade.md)",
            )
        for name in cls.__slots__:
            _insist(name, data)
        return cls(**{name: data[name] for name in cls.__slots__})


def _insist(name: str, data: Mapping[str, Any]) -> None:
    if name not in data:
        raise CodecError(ErrorCode.MALFORMED, f"doorbell without {name!r}")
    value = data[name]
    if name == "turn":
        fits = type(value) is int and 1 <= value <= MAX_TURN
    else:
        fits = isinstance(value, str)
    if not fits:
        wanted = f"a number from 1 to {MAX_TURN}" if name == "turn" else "text"
        raise CodecError(
            ErrorCode.MALFORMED, f"the {name} of a doorbell is not {wanted}"
        )


def task_ids(key: str, epoch: str, turn: int) -> Iterator[str]:
    """Yield the task id of every take of a request up to `turn`, the newest first.

    Who revokes one of them means the request, not that take.
    """
    return (_task_id(key, epoch, number) for number in range(turn, 0, -1))


def _task_id(key: str, epoch: str, turn: int) -> str:
    return str(uuid5(_TASK_ID_SPACE, f"{key}:{epoch}:{turn}"))
