"""Operations in memory: controls, reports and questions; it knows no request."""

from collections.abc import Iterable
from dataclasses import replace

from typing_extensions import override

from agentsched.errors import LedgerError
from agentsched.ledger.bridge_reports import (
    BridgeReport,
    IndexAnswer,
    Question,
    Reported,
)
from agentsched.ledger.memory.server import MemoryServer
from agentsched.ledger.operator_orders import (
    MAX_CONTROLS,
    Control,
    ControlKind,
    Controls,
)
from agentsched.ledger.operator_protocol import MAX_QUESTIONS, Operations, Orders


class MemoryOperations(Operations):
    """`agentsched.ledger.operator_protocol.Operations`, deterministic, in one process."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server

    @override
    def impose(self, control: Control) -> None:
        with self._server.lock:
            if not self._put(replace(control, at_ms=self._server.clock_ms())):
                raise LedgerError(f"{MAX_CONTROLS} controls are in force already")

    @override
    def restore(self, controls: Iterable[Control]) -> None:
        with self._server.lock:
            for control in controls:
                if (control.kind, control.name) not in self._server.data.controls:
                    self._put(control)

    def _put(self, control: Control) -> bool:
        place = control.kind, control.name
        if (
            place not in self._server.data.controls
            and len(self._server.data.controls) >= MAX_CONTROLS
        ):
            return False
        self._server.data.controls[place] = control
        self._server.raise_revision()
        return True

    @override
    def lift(self, kind: ControlKind, name: str = "") -> bool:
        with self._server.lock:
            lifted = self._server.data.controls.pop((kind, name), None) is not None
            if lifted:
                self._server.raise_revision()
            return lifted

    @override
    def controls(self) -> Controls:
        with self._server.lock:
            return Controls.of(self._server.data.controls.values())

    @override
    def orders(self, epoch: str, bridge_id: str) -> Orders:
        with self._server.lock:
            self._server.insist_on(epoch)
            asked = tuple(
                question
                for ends_ms, question in self._server.data.questions.values()
                if ends_ms > self._server.clock_ms()
                and bridge_id not in self._answers(question.id)
            )
            controls = Controls.of(self._server.data.controls.values())
            return Orders(controls, asked, self._server.data.revision)

    @override
    def report(self, bridge_id: str, report: BridgeReport, ttl_ms: int) -> None:
        with self._server.lock:
            now_ms = self._server.clock_ms()
            self._server.data.reports[bridge_id] = (
                now_ms,
                now_ms + ttl_ms,
                report.to_json(),
            )

    @override
    def reports(self) -> list[Reported]:
        with self._server.lock:
            now_ms = self._server.clock_ms()
            live = sorted(
                b
                for b, ends_ms in self._server.data.bridges.items()
                if ends_ms > now_ms
            )
            return [self._reported(bridge_id, now_ms) for bridge_id in live]

    def _reported(self, bridge_id: str, now_ms: int) -> Reported:
        at_ms, ends_ms, text = self._server.data.reports.get(bridge_id, (0, 0, ""))
        if ends_ms <= now_ms:
            return Reported(bridge_id=bridge_id)
        report = BridgeReport.from_json(text)
        return Reported(bridge_id=bridge_id, age_ms=now_ms - at_ms, report=report)

    @override
    def ask(self, question: Question, ttl_ms: int) -> None:
        with self._server.lock:
            now_ms = self._server.clock_ms()
            self._server.data.questions[question.id] = (now_ms + ttl_ms, question)
            first = sorted(
                self._server.data.questions.items(), key=lambda item: item[1][0]
            )
            self._server.data.questions = dict(first[-MAX_QUESTIONS:])
            self._server.emit_orders()

    @override
    def answer(
        self, question_id: str, bridge_id: str, findings: IndexAnswer, ttl_ms: int
    ) -> None:
        with self._server.lock:
            answers = self._answers(question_id) | {bridge_id: findings.to_json()}
            self._server.data.answers[question_id] = (
                self._server.clock_ms() + ttl_ms,
                answers,
            )

    @override
    def answers(self, question_id: str) -> dict[str, IndexAnswer]:
        with self._server.lock:
            answers = self._answers(question_id)
            return {who: IndexAnswer.from_json(text) for who, text in answers.items()}

    def _answers(self, question_id: str) -> dict[str, str]:
        ends_ms, answers = self._server.data.answers.get(question_id, (0, {}))
        return answers if ends_ms > self._server.clock_ms() else {}
