"""Reads what the status is made of; it changes nothing, and makes no epoch."""

from dataclasses import replace

from agentsched.config.settings import Settings
from agentsched.errors import EpochChanged
from agentsched.kafka.admin.backlog import Backlog
from agentsched.kafka.errors import KafkaFailed
from agentsched.ledger.protocol import WholeLedger
from agentsched.operations.explain.reasons import Surroundings
from agentsched.operations.status.status import Status
from agentsched.operations.status.summary import Seen, put_together


def look(settings: Settings, ledger: WholeLedger, backlog: Backlog) -> Status:
    """Look at the whole system; blocks for some round trips.

    Raises:
        LedgerUnavailable: Redis did not answer.
    """
    seen = see(ledger)
    try:
        seen = replace(seen, depths=backlog.ask())
    except KafkaFailed as error:
        seen = replace(seen, kafka_problem=str(error))
    return put_together(settings, seen)


def see(ledger: WholeLedger) -> Seen:
    """Read ledger and reports; see `look`."""
    epoch = ledger.views.epoch()
    try:
        pools = ledger.views.pools(epoch) if epoch else []
        totals = ledger.totals(epoch) if epoch else {}
    except EpochChanged:  # emptied just now
        pools, totals = [], {}
    return Seen(
        now_ms=ledger.membership.now_ms(),
        controls=ledger.operations.controls(),
        pools=pools,
        totals=totals,
        workers=ledger.views.workers(),
        bridges=ledger.operations.reports(),
    )


def surroundings(settings: Settings, seen: Seen) -> Surroundings:
    """Return what matters for a request that waits."""
    live: dict[str, int] = {}
    for worker in seen.workers:
        for model, slots in worker.slots.items():
            live[model] = live.get(model, 0) + slots
    return Surroundings(
        now_ms=seen.now_ms,
        controls=seen.controls,
        pools=seen.pools,
        live_slots=live,
        max_in_flight=settings.limits.max_in_flight,
        dispatcher=any(one.report and one.report.leading for one in seen.bridges),
    )
