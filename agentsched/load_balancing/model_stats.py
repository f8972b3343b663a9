"""What models have done since a scheduler began."""

from collections.abc import Sequence

from agentsched.ledger.model_totals import Totals
from agentsched.ledger.values import ModelTotals
from agentsched.types import ModelStats

NO_TOTALS = ModelTotals(in_flight=0, calls=0, failed=0, model_ms=0)


def model_stats(
    before: Totals, now: Totals, models: Sequence[str]
) -> dict[str, ModelStats]:
    """Subtract what stood in the ledger at the start, unless another epoch began.

    In another epoch all counts begin at nothing, because Redis lost what it had.
    """
    earlier = before.models if before.epoch == now.epoch else {}
    return {
        name: _since(earlier.get(name, NO_TOTALS), now.models.get(name, NO_TOTALS))
        for name in models
    }


def _since(before: ModelTotals, now: ModelTotals) -> ModelStats:
    calls = now.calls - before.calls
    model_s = (now.model_ms - before.model_ms) / 1000
    return ModelStats(
        current_load=now.in_flight,
        total_processed_tasks=calls,
        average_processing_time=model_s / calls if calls else 0.0,
    )
