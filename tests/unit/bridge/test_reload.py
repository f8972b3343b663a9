"""A bridge that reads its configuration again: all of its parts go by the same one."""

from concurrent.futures import Future
from itertools import pairwise

import pytest

from agentsched.config.revision import revise
from agentsched.errors import ConfigurationError, DeliveryFailed, LedgerUnavailable
from agentsched.kafka.reply_sink import ReplySink
from agentsched.wire.codec import decode_message
from agentsched.wire.dead_letters import dead_letter_topic
from agentsched.wire.records import RecordAt
from bridge.core import commands as do
from bridge.core.rules import Rules
from bridge.daemon import RELOAD_RETRY_MS
from tests.support.requests import record, settings
from tests.unit.bridge.daemon_rig import PLACE, build
from tests.unit.bridge.effects_rig import Rig

REFUSED = {"model_id": "no-such-model", "reply_topic": "mine"}
"""A request that the bridge answers by itself."""


class Kafka:
    """Takes every record at once, but for topics that are missing."""

    def __init__(self, *missing):
        self.missing, self.taken = missing, []

    def send(self, record):
        sending = Future()
        if record.topic in self.missing:
            error = DeliveryFailed("no such topic")
            error.no_topic = True
            sending.set_exception(error)
        else:
            self.taken.append(record)
            sending.set_result(RecordAt(record.topic, 0, len(self.taken)))
        return sending

    def flush(self, timeout_s):
        return 0

    def close(self, timeout_s):
        return 0


def run(rig, script, turns=30):
    """Run a bridge over a script: what happens while the loop would sleep."""
    quiet = [lambda _: None] * turns
    rules = Rules(settings(timing={"drain_s": 0}))
    daemon, source = build(rig, rules, [*script, *quiet], step_ms=100)
    daemon.run()
    return daemon, source.committed


def reload(**changes):
    new = settings(timing={"drain_s": 0}, **changes)

    def step(daemon):
        daemon.reload(lambda rules: Rules(revise(rules.settings, new).settings))

    return step


def read(offset, **fields):
    return lambda daemon: daemon.on_read([record(offset, REFUSED | fields)])


def test_a_reply_topic_that_is_allowed_later_and_missing_holds_no_offset():
    kafka = Kafka("mine")
    rig = Rig(sink=ReplySink(kafka, "results"))
    script = [read(0), reload(kafka={"reply_topics": ["mine"]}), read(1)]
    _, committed = run(rig, script)
    codes = [(one.topic, decode_message(one.value).error.code) for one in kafka.taken]
    assert codes == [
        ("results", "REPLY_TOPIC_NOT_ALLOWED"),
        ("results", "UNKNOWN_MODEL"),
    ]
    assert committed[PLACE] == 2


def test_answers_are_looked_up_in_all_reply_topics_that_there_were():
    rig = Rig().open()
    for topic in ("first", "second"):
        rig.effects.adopt(Rules(settings(kafka={"reply_topics": [topic]})))
    rig.effects.run(do.LookUpReplies("e", (), 0))
    rig.inboxed()
    letters = dead_letter_topic(PLACE.topic)
    assert {"results", "first", "second", letters} <= set(rig.asked_in)


def test_what_needs_a_restart_is_the_same_for_all_parts():
    rig = Rig(sink=Kafka())
    changes = {"kafka": {"output_topic": "other"}, "limits": {"max_in_flight": 3}}
    daemon, _ = run(rig, [reload(**changes), read(0)])
    in_force = daemon._rules.settings
    assert in_force.kafka.output_topic == "results"
    assert in_force.limits.max_in_flight == 3
    assert daemon._state.rules is daemon._rules
    assert rig.effects._presence._rules is daemon._rules
    assert [one.topic for one in rig.sink.taken] == ["results"]


def test_a_wrong_configuration_changes_nothing():
    rig = Rig(sink=Kafka())

    def wrong(_):
        raise ConfigurationError("limits.ttl_s: must be a number")

    daemon, _ = run(rig, [lambda daemon: daemon.reload(wrong)])
    assert daemon._rules.settings == settings(timing={"drain_s": 0})


@pytest.mark.parametrize("failures", [1, 3])
def test_while_redis_is_away_it_is_tried_again_once_a_second(monkeypatch, failures):
    rig = Rig(sink=Kafka())
    tries = []
    adopt = rig.effects.adopt

    def failing(rules):
        tries.append(rig.now_ms)
        if len(tries) <= failures:
            raise LedgerUnavailable("no answer")
        adopt(rules)

    monkeypatch.setattr(rig.effects, "adopt", failing)
    loaded = []
    new = Rules(settings(limits={"max_in_flight": 3}))

    def load(rules):
        loaded.append(rules)
        return new

    daemon, _ = run(rig, [lambda daemon: daemon.reload(load)], turns=60)
    assert daemon._rules is new
    assert len(loaded) == 1
    assert len(tries) == failures + 1
    gaps = [after - before for before, after in pairwise(tries)]
    assert all(gap >= RELOAD_RETRY_MS for gap in gaps)
