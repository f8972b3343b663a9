"""Operations in memory: controls, reports and questions; it knows no request."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from agentsched.errors import EpochChanged, LedgerError
from agentsched.ledger.bridge_reports import (
    BridgeReport,
    IndexAnswer,
    Question,
    Reported,
)
from agentsched.ledger.memory.membership import MemoryMembership
from agentsched.ledger.operator_orders import (
    CONTROLS_MOST,
    Control,
    ControlKind,
    Controls,
)
from agentsched.ledger.operator_protocol import QUESTIONS_MOST, Orders


class MemoryOperations(MemoryMembership):
    """`agentsched.ledger.operator_protocol.Operations`, beside the membership."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        super().__init__(clock_ms)
        self._forget_operations()

    def _forget_operations(self) -> None:
        self._controls: dict[tuple[ControlKind, str], Control] = {}
        self._reports: dict[str, tuple[int, int, str]] = {}
        self._questions: dict[str, tuple[int, Question]] = {}
        self._findings: dict[str, tuple[int, dict[str, str]]] = {}

    def _wake(self) -> None:
        """Wake who follows the change log; called with the lock."""

    def impose(self, control: Control) -> None:
        """See `Operations.impose`."""
        with self._lock:
            if not self._put(replace(control, at_ms=self._clock_ms())):
                raise LedgerError(f"{CONTROLS_MOST} controls are in force already")

    def restore(self, controls: Iterable[Control]) -> None:
        """See `Operations.restore`."""
        with self._lock:
            for control in controls:
                if (control.kind, control.name) not in self._controls:
                    self._put(control)

    def _put(self, control: Control) -> bool:
        place = control.kind, control.name
        if place not in self._controls and len(self._controls) >= CONTROLS_MOST:
            return False
        self._controls[place] = control
        self._wake()
        return True

    def lift(self, kind: ControlKind, name: str = "") -> bool:
        """See `Operations.lift`."""
        with self._lock:
            lifted = self._controls.pop((kind, name), None) is not None
            if lifted:
                self._wake()
            return lifted

    def controls(self) -> Controls:
        """See `Operations.controls`."""
        with self._lock:
            return Controls.of(self._controls.values())

    def orders(self, epoch: str, bridge_id: str) -> Orders:
        """See `Operations.orders`."""
        with self._lock:
            if epoch != self._pulse.epoch:
                raise EpochChanged("the ledger has no epoch or another: open it again")
            asked = tuple(
                question
                for ends_ms, question in self._questions.values()
                if ends_ms > self._clock_ms()
                and bridge_id not in self._answers(question.id)
            )
            return Orders(Controls.of(self._controls.values()), asked)

    def report(self, bridge_id: str, report: BridgeReport, ttl_ms: int) -> None:
        """See `Operations.report`."""
        with self._lock:
            now_ms = self._clock_ms()
            self._reports[bridge_id] = (now_ms, now_ms + ttl_ms, report.to_json())

    def reports(self) -> list[Reported]:
        """See `Operations.reports`."""
        with self._lock:
            now_ms = self._clock_ms()
            live = sorted(b for b, ends_ms in self._bridges.items() if ends_ms > now_ms)
            return [self._reported(bridge_id, now_ms) for bridge_id in live]

    def _reported(self, bridge_id: str, now_ms: int) -> Reported:
        at_ms, ends_ms, text = self._reports.get(bridge_id, (0, 0, ""))
        if ends_ms <= now_ms:
            return Reported(bridge_id=bridge_id)
        report = BridgeReport.from_json(text)
        return Reported(bridge_id=bridge_id, age_ms=now_ms - at_ms, report=report)

    def ask(self, question: Question, ttl_ms: int) -> None:
        """See `Operations.ask`."""
        with self._lock:
            now_ms = self._clock_ms()
            self._questions[question.id] = (now_ms + ttl_ms, question)
            first = sorted(self._questions.items(), key=lambda item: item[1][0])
            self._questions = dict(first[-QUESTIONS_MOST:])
            self._wake()

    def tell(
        self, question_id: str, bridge_id: str, findings: IndexAnswer, ttl_ms: int
    ) -> None:
        """See `Operations.tell`."""
        with self._lock:
            answers = self._answers(question_id) | {bridge_id: findings.to_json()}
            self._findings[question_id] = (self._clock_ms() + ttl_ms, answers)

    def told(self, question_id: str) -> dict[str, IndexAnswer]:
        """See `Operations.told`."""
        with self._lock:
            answers = self._answers(question_id)
            return {who: IndexAnswer.from_json(text) for who, text in answers.items()}

    def _answers(self, question_id: str) -> dict[str, str]:
        ends_ms, answers = self._findings.get(question_id, (0, {}))
        return answers if ends_ms > self._clock_ms() else {}
