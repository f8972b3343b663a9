"""The contract between operators and bridges: controls, reports, questions.

Nothing of it lies below the epoch: a control outlives bridges and workers. A changed
control and a new question wake every bridge through the change log of the ledger
(`ChangeKind.ORDERS`); who misses that reads them within a second.

All methods block for one round trip, are safe to call from several threads, and raise
`LedgerUnavailable` when Redis did not answer; they may be repeated.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from agentsched.ledger.bridge_reports import (
    BridgeReport,
    IndexAnswer,
    Question,
    Reported,
)
from agentsched.ledger.operator_orders import Control, ControlKind, Controls

MAX_QUESTIONS = 100
"""Open questions at once; a new one drops the one that ends first."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What operators want of one bridge."""

    controls: Controls
    questions: tuple[Question, ...]
    """Those that this bridge has not answered."""
    revision: int = 0
    """Of limits and controls: each change of one raises it, and voids all lists."""


class Operations(Protocol):
    """Where operators and bridges meet."""

    # -- operators --------------------------------------------------------------

    def impose(self, control: Control) -> None:
        """Put a control in force from now on, instead of an earlier one of that name.

        Raises:
            LedgerError: `MAX_CONTROLS` are in force already.
        """

    def lift(self, kind: ControlKind, name: str = "") -> bool:
        """End a control; False when it was not in force."""

    def controls(self) -> Controls:
        """The controls that are in force."""

    def reports(self) -> list[Reported]:
        """Every live bridge with its last report, in the order of their ids."""

    def ask(self, question: Question, ttl_ms: int) -> None:
        """Ask all bridges; the question and its answers are gone after `ttl_ms`."""

    def answers(self, question_id: str) -> dict[str, IndexAnswer]:
        """The answers so far, by bridge."""

    # -- bridges ----------------------------------------------------------------

    def orders(self, epoch: str, bridge_id: str) -> Orders:
        """The controls in force, and the questions this bridge has not answered.

        Raises:
            EpochChanged: Redis was emptied or replaced: what it says of controls is
                not what operators ordered.
        """

    def restore(self, controls: Iterable[Control]) -> None:
        """Put controls back that Redis has lost; those in force stay as they are."""

    def report(self, bridge_id: str, report: BridgeReport, ttl_ms: int) -> None:
        """Say what this bridge knows; forgotten after `ttl_ms`."""

    def answer(
        self, question_id: str, bridge_id: str, findings: IndexAnswer, ttl_ms: int
    ) -> None:
        """Answer a question, once: it is in this bridge's orders no more."""
