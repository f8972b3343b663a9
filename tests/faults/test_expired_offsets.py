"""Kafka has forgotten the group's offsets while no bridge ran: nothing runs again."""

import pytest
from confluent_kafka.admin import AdminClient

from tests.support.model_server import ModelServer
from tests.support.pages import Scrape
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

ANSWERED = 20


@pytest.fixture
def server():
    with ModelServer() as server:
        yield server


@pytest.fixture
def system(tmp_path, kafka, server):
    with System(tmp_path, kafka, server, {"m": 4}, classes=("high",)) as system:
        yield system.start()


def test_the_ledger_says_what_is_answered_and_an_alarm_is_raised(system, server):
    sent = set(system.send("high", ANSWERED))
    system.replies.wait_for(sent, 60)
    eventually(lambda: system.committed("high") == ANSWERED, timeout_s=30)
    assert system.stop("bridge0") == 0
    forget_offsets(system)
    assert system.committed("high") < 0
    unread = set(system.send("high", 5))
    system.bridge("bridge1")
    system.replies.wait_for(sent | unread, 60)
    (said,) = system.events("bridge1", "offsets_expired")
    assert (said["records"], said["start"]) == (ANSWERED, ANSWERED)
    page = Scrape(system.address("bridge1"))
    assert page.sum("agentsched_alarms_total", alarm="offsets_expired") == 1
    assert len(server.calls) == len(sent | unread)
    assert set(system.replies.counts().values()) == {1}


def forget_offsets(system):
    """As Kafka does for a group without members after offsets.retention.minutes."""
    admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap})
    (deleted,) = admin.delete_consumer_groups([system.group_id]).values()
    deleted.result(20)
