"""Operations on Redis: controls, reports and questions; it knows no request.

Controls are a hash, so that two operators never overwrite each other's; a report and
the answers to a question are keys with an expiry.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from agentsched.errors import LedgerError
from agentsched.ledger.bridge_reports import (
    BridgeReport,
    IndexAnswer,
    Question,
    Reported,
)
from agentsched.ledger.operator_orders import (
    CONTROLS_MOST,
    Control,
    ControlKind,
    Controls,
)
from agentsched.ledger.operator_protocol import QUESTIONS_MOST, Orders
from agentsched.ledger.redis import codec
from agentsched.ledger.redis.membership import RedisMembership
from agentsched.ledger.redis.scripts import translated

Written = TypeVar("Written")
Value = TypeVar("Value")


class RedisOperations(RedisMembership):
    """`agentsched.ledger.operator_protocol.Operations`, beside the membership."""

    def impose(self, control: Control) -> None:
        """See `Operations.impose`."""
        if not self._impose(control, at_ms=0, only_missing=False):
            raise LedgerError(
                f"{CONTROLS_MOST} models and agents are paused or blocked already: lift"
                " some, or block agents in agentsched.yaml (`agents:`, `blocked: true`)"
            )

    def restore(self, controls: Iterable[Control]) -> None:
        """See `Operations.restore`."""
        for control in controls:
            self._impose(control, at_ms=control.at_ms, only_missing=True)

    def _impose(self, control: Control, *, at_ms: int, only_missing: bool) -> bool:
        text = codec.encode_control(control)
        field = codec.encode_place(control.kind, control.name)
        flags = (at_ms, int(only_missing), CONTROLS_MOST)
        return bool(
            self._scripts.run("impose", field, text, *flags, checks_epoch=False)
        )

    def lift(self, kind: ControlKind, name: str = "") -> bool:
        """See `Operations.lift`."""
        field = codec.encode_place(kind, name)
        return bool(self._scripts.run("lift", field, checks_epoch=False))

    def controls(self) -> Controls:
        """See `Operations.controls`."""
        with translated("controls"):
            found: Any = self._client.hgetall(f"{self._namespace}:controls")
        return _controls([text for pair in found.items() for text in pair])

    def orders(self, epoch: str, bridge_id: str) -> Orders:
        """See `Operations.orders`."""
        controls, questions = self._scripts.run("orders", epoch, bridge_id)
        asked = _readable(
            lambda text: Question.from_json(text.split(b" ", 1)[1]), questions
        )
        return Orders(_controls(controls), tuple(asked))

    def report(self, bridge_id: str, report: BridgeReport, ttl_ms: int) -> None:
        """See `Operations.report`."""
        self._scripts.run(
            "report", bridge_id, report.to_json(), ttl_ms, checks_epoch=False
        )

    def reports(self) -> list[Reported]:
        """See `Operations.reports`."""
        rows = self._scripts.run("reports", checks_epoch=False)
        return sorted(map(_reported, rows), key=lambda one: one.bridge_id)

    def ask(self, question: Question, ttl_ms: int) -> None:
        """See `Operations.ask`."""
        text = f"{question.id} {question.to_json()}"
        self._scripts.run("ask", text, ttl_ms, QUESTIONS_MOST, checks_epoch=False)

    def tell(
        self, question_id: str, bridge_id: str, findings: IndexAnswer, ttl_ms: int
    ) -> None:
        """See `Operations.tell`."""
        text = findings.to_json()
        self._scripts.run(
            "tell", question_id, bridge_id, text, ttl_ms, checks_epoch=False
        )

    def told(self, question_id: str) -> dict[str, IndexAnswer]:
        """See `Operations.told`."""
        with translated("told"):
            found: Any = self._client.hgetall(
                f"{self._namespace}:findings:{question_id}"
            )
        return dict(_readable(_told, found.items()))


def _readable(read: Callable[[Written], Value], all_: Iterable[Written]) -> list[Value]:
    """Read what can be read: another version may have written the rest."""
    values = []
    for written in all_:
        with contextlib.suppress(ValueError, KeyError):
            values.append(read(written))
    return values


def _controls(flat: Sequence[bytes]) -> Controls:
    return Controls.of(map(codec.decode_control, flat[::2], flat[1::2]))


def _told(pair: tuple[bytes, bytes]) -> tuple[str, IndexAnswer]:
    return pair[0].decode(), IndexAnswer.from_json(pair[1])


def _reported(row: Sequence[bytes]) -> Reported:
    bridge_id, age_ms, text = row
    report = next(iter(_readable(BridgeReport.from_json, [text])), None)
    return Reported(bridge_id=bridge_id.decode(), age_ms=int(age_ms), report=report)
