"""Gathers the facts for `agentsched doctor`: asks Kafka, Redis, workers and endpoints.

It judges nothing and changes nothing. What cannot be asked is a finding itself.
"""

import time
from collections.abc import Callable, Iterator, Mapping

from agentsched.config.settings import Settings
from agentsched.errors import AgentSchedError
from agentsched.kafka.admin.backlog import Backlog
from agentsched.kafka.admin.topic_inspection import inspect_topics
from agentsched.kafka.topic_plan import planned_topics
from agentsched.ledger.redis.ledger import RedisLedger
from agentsched.llm_backend.endpoint_probe import probe
from agentsched.operations.doctor import diagnosis
from agentsched.operations.doctor.diagnosis import (
    CheckResult,
    EndpointFacts,
    Level,
    RedisFacts,
)
from agentsched.operations.status.summary import waiting_for_worker

CONFIG = ("maxmemory-policy", "appendonly")

Checks = Mapping[str, Callable[[], list[CheckResult]]]


def checks(
    settings: Settings, ledger: RedisLedger, environ: Mapping[str, str]
) -> Checks:
    """Return every check by the part that it is about; each blocks for seconds.

    Args:
        settings: of the installation.
        ledger: its ledger.
        environ: where API keys are.
    """
    return {
        "kafka": lambda: _kafka(settings),
        "group": lambda: _group(settings, ledger),
        "redis": lambda: diagnosis.of_redis(_redis(ledger)),
        "bridge": lambda: diagnosis.of_bridges(len(ledger.operations.reports())),
        "worker": lambda: _workers(settings, ledger),
        "endpoint": lambda: _endpoints(settings, environ),
    }


def examine(todo: Checks) -> Iterator[list[CheckResult]]:
    """Do the checks, one after the other; what cannot be asked is a fault."""
    for what, check in todo.items():
        try:
            yield check()
        except AgentSchedError as error:
            yield [CheckResult(what, Level.FAULT, str(error))]


def _kafka(settings: Settings) -> list[CheckResult]:
    found = inspect_topics(settings.kafka, planned_topics(settings))
    return diagnosis.of_topics(settings, found.brokers, found.topics)


def _group(settings: Settings, ledger: RedisLedger) -> list[CheckResult]:
    if ledger.operations.reports():
        return []  # a bridge has begun: what it has not committed waits
    backlog = Backlog(settings.kafka)
    try:
        depths = backlog.ask()
    finally:
        backlog.close()
    return diagnosis.of_group(settings.kafka.group_id, depths)


def _redis(ledger: RedisLedger) -> RedisFacts:
    before_s = time.time()
    now_ms = ledger.membership.now_ms()
    middle_s = (before_s + time.time()) / 2
    server = ledger.server_facts(CONFIG)
    return RedisFacts(server.version, server.config, now_ms / 1000 - middle_s)


def _workers(settings: Settings, ledger: RedisLedger) -> list[CheckResult]:
    live_slots = ledger.membership.live_slots()
    reports = [
        one.report for one in ledger.operations.reports() if one.report is not None
    ]
    waiting = waiting_for_worker(reports, ledger.operations.controls(), live_slots)
    return diagnosis.of_workers(settings, live_slots, waiting)


def _endpoints(settings: Settings, environ: Mapping[str, str]) -> list[CheckResult]:
    endpoints = [e for model in settings.models for e in model.endpoints]
    answers = probe(endpoints, settings.connection_pool, environ)
    facts = {
        url: EndpointFacts(status=answer)
        if isinstance(answer, int)
        else EndpointFacts(problem=answer)
        for url, answer in answers.items()
    }
    return diagnosis.of_endpoints(facts)
