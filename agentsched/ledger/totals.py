"""What models have done, for those who may look before the first bridge is there."""

from agentsched.errors import EpochChanged
from agentsched.ledger.records import ModelTotals
from agentsched.ledger.redis import RedisLedger


def totals_now(ledger: RedisLedger) -> dict[str, ModelTotals]:
    """Return what every model has done in the open epoch; nothing without one."""
    try:
        epoch = ledger.epoch()
        return dict(ledger.totals(epoch)) if epoch else {}
    except EpochChanged:  # between the two questions
        return {}
