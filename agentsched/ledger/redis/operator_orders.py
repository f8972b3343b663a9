"""Operations on Redis: controls, reports and questions; it knows no request.

Controls are a hash, so that two operators never overwrite each other's; a report and
the answers to a question are keys with an expiry.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import redis
from typing_extensions import override

from agentsched.errors import LedgerError
from agentsched.ledger.bridge_reports import (
    BridgeReport,
    IndexAnswer,
    Question,
    Reported,
)
from agentsched.ledger.operator_orders import (
    MAX_CONTROLS,
    Control,
    ControlKind,
    Controls,
)
from agentsched.ledger.operator_protocol import MAX_QUESTIONS, Operations, Orders
from agentsched.ledger.redis import codec
from agentsched.ledger.redis.scripts import Scripts, translated

Written = TypeVar("Written")
Value = TypeVar("Value")


class RedisOperations(Operations):
    """`agentsched.ledger.operator_protocol.Operations` on Redis."""

    def __init__(self, client: redis.Redis, namespace: str, scripts: Scripts) -> None:
        self._client = client
        self._namespace = namespace
        self._scripts = scripts

    @override
    def impose(self, control: Control) -> None:
        if not self._impose(control, at_ms=0, only_missing=False):
            raise LedgerError(
                f"{MAX_CONTROLS} models and agents are paused or blocked already: lift"
                " some, or block agents in agentsched.yaml (`agents:`, `blocked: true`)"
            )

    @override
    def restore(self, controls: Iterable[Control]) -> None:
        for control in controls:
            self._impose(control, at_ms=control.at_ms, only_missing=True)

    def _impose(self, control: Control, *, at_ms: int, only_missing: bool) -> bool:
        text = codec.encode_control(control)
        field = codec.encode_place(control.kind, control.name)
        flags = (at_ms, int(only_missing), MAX_CONTROLS)
        return bool(
            self._scripts.run("impose", field, text, *flags, checks_epoch=False)
        )

    @override
    def lift(self, kind: ControlKind, name: str = "") -> bool:
        field = codec.encode_place(kind, name)
        return bool(self._scripts.run("lift", field, checks_epoch=False))

    @override
    def controls(self) -> Controls:
        with translated("controls"):
            found: Any = self._client.hgetall(f"{self._namespace}:controls")
        return _controls([text for pair in found.items() for text in pair])

    @override
    def orders(self, epoch: str, bridge_id: str) -> Orders:
        controls, questions, revision = self._scripts.run("orders", epoch, bridge_id)
        asked = _readable(
            lambda text: Question.from_json(text.split(b" ", 1)[1]), questions
        )
        return Orders(_controls(controls), tuple(asked), int(revision))

    @override
    def report(self, bridge_id: str, report: BridgeReport, ttl_ms: int) -> None:
        self._scripts.run(
            "report", bridge_id, report.to_json(), ttl_ms, checks_epoch=False
        )

    @override
    def reports(self) -> list[Reported]:
        rows = self._scripts.run("reports", checks_epoch=False)
        return sorted(map(_reported, rows), key=lambda one: one.bridge_id)

    @override
    def ask(self, question: Question, ttl_ms: int) -> None:
        text = f"{question.id} {question.to_json()}"
        self._scripts.run("ask", text, ttl_ms, MAX_QUESTIONS, checks_epoch=False)

    @override
    def answer(
        self, question_id: str, bridge_id: str, findings: IndexAnswer, ttl_ms: int
    ) -> None:
        text = findings.to_json()
        self._scripts.run(
            "tell", question_id, bridge_id, text, ttl_ms, checks_epoch=False
        )

    @override
    def answers(self, question_id: str) -> dict[str, IndexAnswer]:
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
