"""The bridge's composition root: the only place that builds its adapters."""

import os
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue

from agentsched.celery.queues import CeleryDoorbells
from agentsched.config.settings import Settings
from agentsched.kafka.admin.topics import ensure_topics
from agentsched.kafka.group.commit_states import commit_states
from agentsched.kafka.group.request_source import RequestSource
from agentsched.kafka.librdkafka import producer_properties
from agentsched.kafka.producer import Producer
from agentsched.kafka.readers.reply_lookup import find_answers
from agentsched.kafka.readers.single_record import read_record
from agentsched.kafka.reply_sink import ReplySink
from agentsched.ledger.redis.ledger import RedisLedger
from agentsched.telemetry.meters import MeteredSink, Meters
from agentsched.wire.dead_letters import dead_letter_topic
from agentsched.wire.epoch import NO_EPOCH, EpochCounter
from bridge.change_log import ChangeReader
from bridge.core.rules import Rules
from bridge.daemon import Daemon
from bridge.effects import Effects, Later, Outside
from bridge.gauges import BridgeMeter
from bridge.health_page import BridgePage, KafkaWatch
from bridge.kafka_thread import KafkaThread
from bridge.observer import BridgeObserver

READ_BACK_TIMEOUT_S = 5.0


def steady_clock() -> Callable[[], int]:
    """Return a clock in milliseconds since the Unix epoch that never goes back.

    It starts with the wall clock and goes on with the monotonic one: duties are timed
    with it, and a wall clock that is set back would put them off.
    """
    offset_ns = time.time_ns() - time.monotonic_ns()
    return lambda: (time.monotonic_ns() + offset_ns) // 1_000_000


def _bridge_id() -> str:
    """Name this process as `HOST/PID/RANDOM`, unlike any other that runs or ran."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"


def prepare_topics(settings: Settings) -> list[str]:
    """Create the dead-letter topics that are missing.

    Returns:
        Those that are missing and could not be created.

    Raises:
        KafkaFailed: no broker answers.
    """
    wanted = [dead_letter_topic(topic) for topic in settings.kafka.input_topics]
    return list(ensure_topics(settings.kafka, wanted).missing)


@dataclass(frozen=True, slots=True)
class Bridge:
    """One bridge process: its loop, and what can be seen of it from outside."""

    daemon: Daemon
    page: BridgePage

    def run(self) -> None:
        """Run until `daemon.stop`, then drain; blocks.

        Raises:
            ConfigurationError: the port of `http` cannot be had.
            KafkaFailed: the client is broken for good.
        """
        self.page.start()
        try:
            self.daemon.run()
        finally:
            self.page.stop()


def known_pulse(settings: Settings) -> EpochCounter:
    """Return the highest pulse of the ledger that the group has committed; blocks.

    Raises:
        KafkaFailed: Kafka did not answer.
    """
    states = commit_states(settings.kafka)
    return max((state.pulse for state in states), default=NO_EPOCH)


def build_bridge(settings: Settings) -> Bridge:
    """Build a bridge from settings; nothing is connected before `run`."""
    bridge_id, meters = _bridge_id(), Meters("bridge")
    models = [model.name for model in settings.models]
    meters.initialize(models, settings.kafka.input_topics)
    meters.describe_process()
    meter = BridgeMeter(
        meters, bridge_id, ends=lambda: kafka.ends, stuck_s=settings.http.stuck_s
    )
    kafka = KafkaWatch(settings, owned=lambda: meter.owned)
    page = BridgePage(settings, meters, meter, kafka)
    observer = BridgeObserver(meters, meter)
    return Bridge(_build_daemon(settings, bridge_id, meters, observer, page), page)


def _build_daemon(
    settings: Settings,
    bridge_id: str,
    meters: Meters,
    observer: BridgeObserver,
    page: BridgePage,
) -> Daemon:
    rules, now_ms = Rules(settings), steady_clock()
    inbox: SimpleQueue[Later] = SimpleQueue()
    ledger = RedisLedger.of(settings, meters.step_ended)
    outside = Outside(
        ledger=ledger,
        membership=ledger.membership,
        operations=ledger.operations,
        doorbells=CeleryDoorbells(settings),
        sink=ReplySink(
            MeteredSink(_make_producer(settings), meters),
            settings.kafka.output_topic,
            list(map(dead_letter_topic, settings.kafka.input_topics)),
            settings.timing.delivery_timeout_s,
        ),
        read_back=lambda at: read_record(settings.kafka, at, READ_BACK_TIMEOUT_S),
        look_up=partial(find_answers, settings.kafka),
        now_ms=now_ms,
    )
    effects = Effects(
        outside,
        rules,
        bridge_id,
        inbox.put,
        observer,
        address=lambda: page.address,
    )
    return Daemon(
        rules=rules,
        effects=effects,
        make_source=lambda daemon: KafkaThread(
            lambda owner: RequestSource(settings.kafka, owner),
            daemon,
            inbox.put,
            observer.meter.kafka_thread,
        ),
        reader=ChangeReader(ledger, inbox.put, now_ms, observer.meter.change_log),
        now_ms=now_ms,
        known_pulse=lambda: known_pulse(settings),
        inbox=inbox,
        observer=observer,
    )


def _make_producer(settings: Settings) -> Producer:
    return Producer(
        settings.kafka.bootstrap_servers,
        properties=producer_properties(
            settings.kafka,
            delivery_timeout_s=settings.timing.delivery_timeout_s,
            value_max_bytes=settings.limits.reply_max_bytes,
        ),
    )
