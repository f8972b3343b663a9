"""What models have done, for those who may look before the first bridge is there."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentsched.errors import EpochChanged
from agentsched.ledger.redis.ledger import RedisLedger
from agentsched.ledger.values import ModelTotals


@dataclass(frozen=True, slots=True)
class Totals:
    """What every model has done since an epoch began; with no epoch, nothing."""

    epoch: str = ""
    models: Mapping[str, ModelTotals] = field(default_factory=dict)


NOTHING_YET = Totals()


def totals_now(ledger: RedisLedger) -> Totals:
    """Ask the ledger; one round trip, or two."""
    try:
        epoch = ledger.views.epoch()
        return Totals(epoch, ledger.totals(epoch)) if epoch else NOTHING_YET
    except EpochChanged:  # between the two questions
        return NOTHING_YET
