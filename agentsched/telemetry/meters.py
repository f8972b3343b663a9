"""The values of one process's metrics, and what measures Redis and Kafka from outside.

There is no global registry: the composition root makes the one `Meters` of its process.
Safe to use from every thread.
"""

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future
from itertools import product
from time import perf_counter
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from agentsched import __version__
from agentsched.protocols import RecordSink
from agentsched.telemetry import metrics as all_metrics
from agentsched.telemetry.handlers import lost_lines
from agentsched.telemetry.metrics import LABEL_VALUES, METRICS, Metric, Process
from agentsched.wire.records import OutboundRecord, RecordAt

MAX_SERIES = 1_000
"""Sets of label values of one metric, beside those that are known from the start; what
comes beyond is counted as `other`."""
OTHER = "other"


class Meters:
    """All metrics of one kind of process, ready to be counted.

    Args:
        process: the metrics of the other kind are left out.
        metrics: what there is.
    """

    def __init__(self, process: Process, metrics: Iterable[Metric] = METRICS) -> None:
        self.registry = CollectorRegistry()
        # One series less for each counter and histogram, in all of this process.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._process = process
        self._ours = [
            metric
            for metric in metrics
            if process in metric.processes and metric is not all_metrics.LOG_LINES_LOST
        ]
        self._made = {m.name: _make(m, self.registry) for m in self._ours}
        self._series: dict[str, dict[tuple[str, ...], Any]] = {
            n: {} for n in self._made
        }
        self._known = dict.fromkeys(self._made, 0)
        """How many series of each metric are there by `initialize`."""
        self.initialize()

    def initialize(
        self, models: Collection[str] = (), topics: Collection[str] = ()
    ) -> None:
        """Show each counter and histogram at 0 for all label values that are known.

        `increase` and `rate` do not see the first event of a series that begins with 1.
        Idempotent: what was counted stays.

        Args:
            models: that may occur, by the configuration.
            topics: as well.
        """
        known = {**LABEL_VALUES[self._process], "model": models, "topic": topics}
        groups = (*models, all_metrics.ANY_MODEL, all_metrics.NO_MODEL)
        for metric in self._ours:
            if metric.kind == "gauge" or not metric.labels:
                continue
            values = known | ({"model": groups} if metric.of_groups and models else {})
            sets = product(*(values.get(label, ()) for label in metric.labels))
            series = self._series[metric.name]
            for labels in {*sets, *metric.also} - series.keys():
                series[labels] = self._made[metric.name].labels(*labels)
                self._known[metric.name] += 1

    def describe_process(self) -> None:
        """Show this process's CPU, memory, files, log and version, too."""
        ProcessCollector(registry=self.registry)
        self.registry.register(lost_lines)
        self.set(all_metrics.BUILD_INFO, 1, __version__)

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Raise a counter, or change a gauge, by `by`; labels as declared."""
        self._at(metric, labels).inc(by)

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Enter a value into a histogram."""
        self._at(metric, labels).observe(value)

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""
        self._at(metric, labels).set(value)

    def replace(self, metric: Metric, values: Mapping[tuple[str, ...], float]) -> None:
        """Set a gauge for these label values, and drop all its other series."""
        series = self._series[metric.name]
        for labels in series.keys() - values.keys():
            del series[labels]
            self._made[metric.name].remove(*labels)
        for labels, value in values.items():
            self.set(metric, value, *labels)

    def value(self, metric: Metric, *labels: str, suffix: str = "") -> float | None:
        """Return what a scrape would show now; None where there is no such series.

        Args:
            metric: of which.
            labels: as declared.
            suffix: `_count` or `_sum` of a histogram.
        """
        named = dict(zip(metric.labels, labels, strict=True))
        return self.registry.get_sample_value(metric.name + suffix, named)

    def step_ended(self, step: str, took_s: float, error: str) -> None:
        """Measure a step of the ledger; what `RedisLedger.of(on_step=...)` calls."""
        self.observe(all_metrics.REDIS_STEP_SECONDS, took_s, step)
        if error:
            self.count(all_metrics.REDIS_STEP_FAILURES, step, error)

    def _at(self, metric: Metric, labels: tuple[str, ...]) -> Any:  # noqa: ANN401  (Counter, Gauge or Histogram)
        made = self._made[metric.name]
        if not labels:
            return made
        series = self._series[metric.name]
        found = series.get(labels)
        if found is None:
            if len(series) - self._known[metric.name] >= MAX_SERIES:
                return made.labels(*[OTHER] * len(labels))
            found = series[labels] = made.labels(*labels)
        return found


class MeteredSink:
    """A `RecordSink` that sends through another one, and counts what is acknowledged."""

    def __init__(self, sink: RecordSink, meters: Meters) -> None:
        self._sink = sink
        self._meters = meters
        self.flush = sink.flush
        self.close = sink.close

    def send(self, record: OutboundRecord) -> Future[RecordAt]:
        """Send, and measure until the acknowledgement."""
        started_s = perf_counter()

        def delivered(sending: Future[RecordAt]) -> None:
            if sending.cancelled() or sending.exception():
                self._meters.count(all_metrics.KAFKA_DELIVERY_FAILURES)
            else:
                took_s = perf_counter() - started_s
                self._meters.observe(all_metrics.KAFKA_DELIVERY_SECONDS, took_s)

        sending = self._sink.send(record)
        sending.add_done_callback(delivered)
        return sending


def _make(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    named: Any = {
        "name": metric.name,
        "documentation": metric.description,
        "labelnames": metric.labels,
        "registry": registry,
    }
    if metric.kind == "histogram":
        return Histogram(**named, buckets=metric.buckets)
    return Counter(**named) if metric.kind == "counter" else Gauge(**named)
