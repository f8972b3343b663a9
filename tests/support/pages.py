"""Reads what processes show of themselves: metrics, health, and JSON log lines."""

import json
import urllib.error
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_S = 10


def get(address: str, path: str) -> tuple[int, str]:
    """Status and body of one page."""
    try:
        with urllib.request.urlopen(
            f"http://{address}{path}", timeout=TIMEOUT_S
        ) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class Scrape:
    """One look at a process's /metrics."""

    def __init__(self, address: str) -> None:
        status, self.text = get(address, "/metrics")
        assert status == 200
        self._samples = [
            sample
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
        ]

    @property
    def series(self) -> list[tuple[str, dict[str, str]]]:
        """Name and labels of everything that is shown."""
        return [(sample.name, sample.labels) for sample in self._samples]

    def sum(self, name: str, **labels: str) -> float:
        """The sum over all series of this name that have these labels; 0 for none.

        `class` is written `cls` here.
        """
        if "cls" in labels:
            labels["class"] = labels.pop("cls")
        return sum(
            sample.value
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


def ready(address: str) -> dict[str, Any]:
    """Body of /readyz, with its status."""
    status, body = get(address, "/readyz")
    return json.loads(body) | {"status": status}


def log_events(text: str) -> list[dict[str, Any]]:
    """The JSON lines of a log; Celery's banner and warnings are no lines of ours."""
    lines = [line for line in text.splitlines() if line.startswith("{")]
    # The last one may be half written.
    return [json.loads(line) for line in lines if line.endswith("}")]
