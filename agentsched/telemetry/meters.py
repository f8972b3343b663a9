"""The values of one process's metrics; it knows no metric by name.

There is no global registry: the composition root makes the one `Meters` of its process.
Safe to use from every thread.
"""

from collections.abc import Collection, Iterable, Mapping
from itertools import product
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
from agentsched.telemetry.handlers import lost_lines
from agentsched.telemetry.metrics import (
    ANY_MODEL,
    BUILD_INFO,
    LABEL_VALUES,
    LOG_LINES_LOST,
    METRICS,
    NO_MODEL,
    Metric,
    Process,
)

SERIES_MAX = 1_000
"""Sets of label values of one metric, beside those that are known from the start; what
comes beyond is counted as `other`."""
OTHER = "other"


class Meters:
    """All metrics of one kind of process, ready to be counted."""

    def __init__(self, process: Process, metrics: Iterable[Metric] = METRICS) -> None:
        """Make the registry.

        Args:
            process: the metrics of the other kind are left out.
            metrics: what there is.
        """
        self.registry = CollectorRegistry()
        # One series less for each counter and histogram, in all of this process.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._process = process
        self._ours = [metric for metric in metrics if process in metric.processes]
        self._made = {m.name: _make(m, self.registry) for m in self._ours}
        self._series: dict[tuple[str, ...], Any] = {}
        self._counts: dict[str, int] = {}
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
        groups = {**known, "model": (*models, ANY_MODEL, NO_MODEL)}
        for metric in self._ours:
            if metric.kind == "gauge" or not metric.labels:
                continue
            values = groups if metric.of_groups and models else known
            sets = product(*(values.get(label, ()) for label in metric.labels))
            for labels in (*sets, *metric.also):
                self._series.setdefault(
                    (metric.name, *labels), self._made[metric.name].labels(*labels)
                )

    def describe_process(self) -> None:
        """Show this process's CPU, memory, files, log and version, too."""
        ProcessCollector(registry=self.registry)
        lost_lines.report_to(lambda lines: self.count(LOG_LINES_LOST, by=lines))
        self.set(BUILD_INFO, 1, __version__)

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
        for key in [key for key in self._series if key[0] == metric.name]:
            if key[1:] not in values:
                del self._series[key]
                self._made[metric.name].remove(*key[1:])
                self._counts[metric.name] -= 1
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

    def _at(self, metric: Metric, labels: tuple[str, ...]) -> Any:  # noqa: ANN401  (Counter, Gauge or Histogram)
        if not labels:
            return self._made[metric.name]
        key = (metric.name, *labels)
        found = self._series.get(key)
        if found is None:
            known = self._counts.get(metric.name, 0)
            if known >= SERIES_MAX:
                return self._made[metric.name].labels(*([OTHER] * len(labels)))
            found = self._series[key] = self._made[metric.name].labels(*labels)
            self._counts[metric.name] = known + 1
        return found


def _make(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    if metric.kind == "histogram":
        return Histogram(
            metric.name,
            metric.says,
            metric.labels,
            buckets=metric.buckets,
            registry=registry,
        )
    kind = Counter if metric.kind == "counter" else Gauge
    return kind(metric.name, metric.says, metric.labels, registry=registry)
