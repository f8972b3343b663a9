"""The table of steps, and the document that shows it."""

from pathlib import Path

from agentsched.ledger.protocol import Ledger
from agentsched.ledger.transitions import STATES, STEP_TABLE, STEPS, to_markdown

DOCUMENT = Path(__file__).parents[3] / "docs" / "delivery.md"


def test_the_document_shows_the_table():
    assert to_markdown() in DOCUMENT.read_text("utf-8")


def test_every_step_stands_in_the_table_for_every_state():
    assert set(STEP_TABLE) == {(step, state) for step in STEPS for state in STATES}


def test_every_step_is_one_of_the_protocol():
    assert [step for step in STEPS if not hasattr(Ledger, step)] == []


def test_what_is_no_step_in_the_table_names_no_key_or_only_reads():
    methods = {name for name in vars(Ledger) if not name.startswith("_")}
    reads = {
        "reply",
        "inspect",
        "partition",
        "snapshot",
        "changes",
        "totals",
    }
    assert methods - set(STEPS) == reads | {
        "settle",
        "restore_done",
        "forget_done",
        "set_limits",
    }
