"""Poison: a request that ended, several times, the process that ran it alone.

The worker runs suspects in a child process of their own and counts (`worker/suspects`);
the ledger says `Ending.POISON`. Here it gets its dead letter beside the failed reply.
"""

from agentsched.errors import ErrorCode
from agentsched.wire.dead_letters import dead_letter_record
from agentsched.wire.terminal_errors import POISON
from bridge.core.commands import BuryPoison
from bridge.core.state import Indexed


def bury(entry: Indexed, reply: bytes) -> BuryPoison:
    """Return the command that puts a poisonous request aside and answers it."""
    facts = entry.facts
    letter = dead_letter_record(
        entry.record, facts.source, ErrorCode.POISON, POISON.message
    )
    return BuryPoison(letter, facts, reply)
