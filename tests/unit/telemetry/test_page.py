"""The one port: its pages, its bounds, and where it listens."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from agentsched.config.settings import HttpSettings
from agentsched.errors import ConfigurationError
from agentsched.telemetry import metrics
from agentsched.telemetry import page as page_module
from agentsched.telemetry.health import Check, Indicator
from agentsched.telemetry.meters import Meters
from agentsched.telemetry.page import MAX_CONNECTIONS, Page

HTTP = HttpSettings()


class Things:
    """A process with one loop and one need."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.redis = Check(ok=True)
        self.meters = Meters("worker")
        self.live = {"loop": Indicator("loop", 60, lambda: self.now_s, ok=True).check}
        self.ready = {"redis": lambda: self.redis}

    def page(self, port: int = 0, http: HttpSettings = HTTP) -> Page:
        page = Page(http, port, self.meters.registry, self.live, self.ready)
        page.start()
        return page


@pytest.fixture
def things() -> Things:
    return Things()


@pytest.fixture
def page(things: Things) -> Iterator[Page]:
    page = things.page()
    yield page
    page.stop()


def get(page: Page, path: str, **headers: str) -> tuple[int, str, bytes]:
    request = urllib.request.Request(f"http://{page.address}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


def test_metrics_are_shown_as_prometheus_reads_them(things, page) -> None:
    things.meters.count(metrics.TAKES_ENDED, "gpt-4", "answered")
    status, kind, body = get(page, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain")
    line = b'agentsched_takes_ended_total{ended="answered",model="gpt-4"} 1.0'
    assert line in body


def test_metrics_are_shown_as_open_metrics_to_who_asks_for_it(page) -> None:
    _, kind, body = get(page, "/metrics", Accept="application/openmetrics-text")
    assert kind.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_a_process_whose_loop_turns_is_live(page) -> None:
    status, _, body = get(page, "/healthz")
    assert (status, json.loads(body)["live"]) == (200, True)


def test_a_process_whose_loop_is_stuck_is_not_live(things, page) -> None:
    things.now_s = 61
    status, _, body = get(page, "/healthz")
    assert status == 503
    assert json.loads(body) == {
        "live": False,
        "checks": {"loop": {"ok": False, "detail": "loop: silent for 61 s"}},
    }


def test_readiness_names_the_check_that_fails(things, page) -> None:
    assert get(page, "/readyz")[0] == 200
    things.redis = Check(ok=False, detail="Redis did not answer")
    status, kind, body = get(page, "/readyz")
    assert (status, kind) == (503, "application/json; charset=utf-8")
    assert json.loads(body) == {
        "ready": False,
        "checks": {"redis": {"ok": False, "detail": "Redis did not answer"}},
    }


def test_another_path_says_what_there_is(page) -> None:
    status, _, body = get(page, "/admin")
    assert status == 404
    assert b"/metrics  /healthz  /readyz" in body


def test_a_probe_with_head_gets_no_body(page) -> None:
    request = urllib.request.Request(f"http://{page.address}/healthz", method="HEAD")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert (answer.status, answer.read()) == (200, b"")


def test_nothing_but_reading_is_answered(page) -> None:
    request = urllib.request.Request(f"http://{page.address}/metrics", data=b"x")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code == 501
    refused.value.close()


def test_it_listens_on_loopback(page) -> None:
    assert page.address.startswith("127.0.0.1:")


def test_a_taken_port_is_replaced_by_a_free_one(things, page) -> None:
    taken = int(page.address.rpartition(":")[2])
    second = things.page(taken)
    try:
        assert second.address != page.address
        assert get(second, "/healthz")[0] == 200
    finally:
        second.stop()


def test_a_host_that_is_not_here_is_a_wrong_setting(things) -> None:
    # 192.0.2.0/24 is for documentation: no machine has it.
    with pytest.raises(ConfigurationError, match=r"http\.host"):
        things.page(http=HttpSettings(host="192.0.2.1"))


def test_where_it_is_switched_off_nobody_listens(things) -> None:
    page = things.page(http=HttpSettings(enabled=False))
    assert page.address == ""
    page.stop()


def test_after_the_stop_nobody_listens(things) -> None:
    page = things.page()
    page.stop()
    page.stop()
    host, _, port = page.address.rpartition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)


@pytest.fixture
def patient(monkeypatch) -> None:
    """Only the bounds under test end a connection."""
    monkeypatch.setattr(page_module._Handler, "timeout", 60)
    monkeypatch.setattr(page_module, "MAX_CONNECTION_S", 60)


def connect(page: Page) -> socket.socket:
    host, _, port = page.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def test_clients_that_say_nothing_keep_nobody_out(patient, page) -> None:
    silent = [connect(page) for _ in range(3 * MAX_CONNECTIONS)]
    try:
        for one in silent[-MAX_CONNECTIONS:]:
            one.sendall(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
        assert get(page, "/healthz")[0] == 200
        for one in silent[: 2 * MAX_CONNECTIONS]:
            assert one.recv(1) == b""  # the oldest had to go
    finally:
        for one in silent:
            one.close()


def test_a_client_that_takes_too_long_has_to_go(patient, page, monkeypatch) -> None:
    with connect(page) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
        monkeypatch.setattr(page_module, "MAX_CONNECTION_S", 0)
        assert slow.recv(1) == b""


def test_a_bug_in_a_check_ends_one_answer_and_no_more(things) -> None:
    def broken() -> Check:
        raise KeyError("the-secret")

    things.ready = {"redis": broken}
    page = things.page()
    try:
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            get(page, "/readyz")
        assert get(page, "/healthz")[0] == 200
    finally:
        page.stop()
