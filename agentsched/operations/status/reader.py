"""Reads what the status is made of; it changes nothing, and makes no epoch."""

from dataclasses import replace
from typing import Protocol

from agentsched.config.settings import Settings
from agentsched.errors import EpochChanged
from agentsched.kafka.admin.backlog import Backlog
from agentsched.kafka.errors import KafkaFailed
from agentsched.ledger.operator_protocol import Operations
from agentsched.ledger.protocol import Ledger, Membership
from agentsched.ledger.views import Views
from agentsched.operations.explain.reasons import Surroundings
from agentsched.operations.status.status import Status
from agentsched.operations.status.summary import Seen, put_together


class Lookout(Ledger, Membership, Operations, Views, Protocol):
    """All of the ledger; only what reads is used here."""


def look(settings: Settings, ledger: Lookout, backlog: Backlog) -> Status:
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


def see(ledger: Lookout) -> Seen:
    """Read ledger and reports; see `look`."""
    epoch = ledger.epoch()
    try:
        pools = ledger.pools(epoch) if epoch else []
        totals = ledger.totals(epoch) if epoch else {}
    except EpochChanged:  # emptied just now
        pools, totals = [], {}
    return Seen(
        now_ms=ledger.now_ms(),
        controls=ledger.controls(),
        pools=pools,
        totals=totals,
        workers=ledger.workers(),
        bridges=ledger.reports(),
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
