"""What a scheduler says its models have done."""

from agentsched.ledger.model_totals import NOTHING_YET, Totals
from agentsched.ledger.values import ModelTotals
from agentsched.load_balancing.model_stats import model_stats
from agentsched.types import ModelStats


def totals(epoch, calls, model_ms, in_flight=0):
    one = ModelTotals(in_flight=in_flight, calls=calls, failed=0, model_ms=model_ms)
    return Totals(epoch, {"m": one})


def test_what_stood_in_the_ledger_at_the_start_is_not_counted():
    stats = model_stats(totals("1", 100, 9_000), totals("1", 104, 11_000, 2), ["m"])
    assert stats == {
        "m": ModelStats(
            current_load=2, total_processed_tasks=4, average_processing_time=0.5
        )
    }


def test_after_a_loss_of_redis_the_counts_begin_at_nothing():
    stats = model_stats(totals("1", 100, 9_000), totals("2", 4, 2_000), ["m"])
    assert stats["m"].total_processed_tasks == 4
    assert stats["m"].average_processing_time == 0.5


def test_no_count_is_negative_while_redis_is_empty():
    stats = model_stats(totals("1", 100, 9_000), NOTHING_YET, ["m"])
    assert stats == {"m": ModelStats()}


def test_a_model_that_did_nothing_has_stats():
    assert model_stats(NOTHING_YET, totals("1", 1, 1), ["n"]) == {"n": ModelStats()}
