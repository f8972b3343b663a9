"""What a worker writes: Celery sets up logging, and our lines come out once, as told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentsched.ledger.values import State
from tests.integration.worker_rig import WorkerRig
from tests.support.pages import log_events
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def rig(redis_url: str, tmp_path: Path) -> Iterator[WorkerRig]:
    with WorkerRig(tmp_path, redis_url, {"gpt-4": 1}) as rig:
        yield rig


def events_of(text: str, key: str) -> list[str]:
    lines = log_events(text)
    return [one["event"] for one in lines if one.get("correlation_id") == f"c-{key}"]


def test_a_worker_says_one_line_for_each_request(rig: WorkerRig) -> None:
    process = rig.ready_worker("-Q", "gpt4")
    key = rig.request()
    rig.reply_to(key)
    eventually(lambda: events_of(rig.log(), key) == ["request_completed"])
    assert rig.stop(process) == 0

    lines = log_events(rig.log())
    events = [line["event"] for line in lines]
    for once in ("worker_started", "worker_leaving", "worker_stopped"):
        assert events.count(once) == 1
    # Celery's two lines for each task are not among what it still says.
    loggers = {line.get("logger") for line in lines}
    assert "celery.apps.worker" in loggers
    assert not loggers & {"celery.worker.strategy", "celery.app.trace"}


def test_an_explicit_level_and_file_are_obeyed(rig: WorkerRig) -> None:
    file = rig.root / "own.log"
    rig.ready_worker("-Q", "gpt4", "-l", "debug", "-f", str(file))
    key = rig.request(content="the-secret-prompt")
    rig.reply_to(key)
    told = ["request_claimed", "request_completed"]
    eventually(lambda: events_of(file.read_text(), key) == told)
    loggers = {line.get("logger") for line in log_events(file.read_text())}
    assert "celery.bootsteps" in loggers  # asked for by -l debug
    assert "the-secret-prompt" not in file.read_text()
    assert log_events(rig.log()) == []


def test_a_level_above_info_silences_what_is_usual(rig: WorkerRig) -> None:
    rig.ready_worker("-Q", "gpt4", "-l", "warning")
    key = rig.request()
    rig.reply_to(key)
    rig.wait_for_state(key, State.ANSWERED)
    levels = {line["level"] for line in log_events(rig.log())}
    assert not levels & {"debug", "info"}
