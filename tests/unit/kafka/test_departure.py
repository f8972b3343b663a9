"""What a group member does before its client ends."""

import itertools
import sys
import threading

import pytest
from confluent_kafka import KafkaError, KafkaException

from agentsched.kafka.group import departure


class Client:
    """Serves what waits, one thing a poll: None is a callback, all else a record."""

    def __init__(self, waiting, close_fails=None):
        self._waiting, self._close_fails = iter(waiting), close_fails
        self.closed_with = None

    def assignment(self):
        return []

    def poll(self, _timeout_s):
        one = next(self._waiting, None)
        if isinstance(one, Exception):
            raise one
        return one

    def close(self):
        self.closed_with = list(itertools.islice(self._waiting, 5))
        if self._close_fails:
            raise self._close_fails


def test_nothing_waits_any_more_when_the_client_ends():
    client = Client(["record"] * 3)
    departure.leave(client, {})
    assert client.closed_with == []


def test_where_no_thread_starts_any_more_the_client_ends_all_the_same(monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    client = Client(["record"])
    departure.leave(client, {})
    assert client.closed_with == []


def test_while_python_ends_no_thread_is_begun(monkeypatch):
    """Python 3.11 would wait for ever for its start."""
    begun = []
    monkeypatch.setattr(threading.Thread, "start", begun.append)
    monkeypatch.setattr(sys, "is_finalizing", lambda: True)
    client = Client(["record"])
    departure.leave(client, {})
    assert (begun, client.closed_with) == ([], [])


def test_who_has_more_to_read_than_time_ends_all_the_same(monkeypatch):
    monkeypatch.setattr(departure, "DRAIN_S", 0)
    client = Client(itertools.repeat("record"))
    departure.leave(client, {})
    assert client.closed_with == ["record"] * 5


@pytest.mark.parametrize("where", ["poll", "close"])
def test_an_error_of_kafka_ends_the_client_and_is_logged(where, caplog):
    error = KafkaException(KafkaError(KafkaError._FATAL))
    polled = [error] if where == "poll" else []
    client = Client(polled, close_fails=error if where == "close" else None)
    departure.leave(client, {})
    assert client.closed_with == []
    assert "not left in order" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_callback_that_fails_does_not_keep_the_client():
    client = Client([RuntimeError("of a callback")])
    departure.leave(client, {})
    assert client.closed_with == []
