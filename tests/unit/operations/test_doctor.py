"""What the doctor makes of facts; the advice says what to do."""

import pytest

from agentsched.kafka.topic_plan import TopicState, planned_topics
from agentsched.operations.doctor import diagnosis
from agentsched.operations.doctor.diagnosis import EndpointFacts, Level, RedisFacts
from agentsched.wire.records import Depth, Partition
from tests.support.requests import settings

GOOD_REDIS = {"maxmemory-policy": "noeviction", "appendonly": "yes"}
GOOD_TOPIC = {
    "message.timestamp.type": "LogAppendTime",
    "cleanup.policy": "delete",
    "retention.ms": "604800000",
    "retention.bytes": "-1",
    "min.insync.replicas": "2",
    "unclean.leader.election.enable": "false",
    "max.message.bytes": "2000000",
}


def topics(**changed):
    config = GOOD_TOPIC | {k.replace("_", "."): v for k, v in changed.items()}
    return {
        name: TopicState(name, 3, 3, 3, config=config)
        for name in planned_topics(settings())
    }


def bad(findings):
    return [one for one in findings if one.level is not Level.OK]


def redis(version="7.2.4", ahead_s=0.0, **config):
    changed = {key.replace("_", "-"): value for key, value in config.items()}
    return diagnosis.of_redis(RedisFacts(version, GOOD_REDIS | changed, ahead_s))


def test_a_good_installation_has_nothing_to_mend():
    good = settings()
    assert bad(diagnosis.of_topics(good, 3, topics())) == []
    assert bad(redis()) == []
    assert bad(diagnosis.of_workers(good, {"m": good.models[0].capacity}, {})) == []
    assert bad(diagnosis.of_bridges(1)) == []
    assert bad(diagnosis.of_endpoints({"u": EndpointFacts(200)})) == []


def test_a_missing_topic_is_a_fault_with_the_command_that_makes_it():
    there = dict.fromkeys(planned_topics(settings()))
    first = bad(diagnosis.of_topics(settings(), 3, there))[0]
    assert first.level is Level.FAULT
    assert "agentsched topics create" in first.text


@pytest.mark.parametrize(
    ("key", "value", "level", "fix"),
    [
        ("retention_ms", "3600000", Level.FAULT, "retention.ms=604800000"),
        ("retention_bytes", "1000", Level.FAULT, "retention.bytes=-1"),
        ("cleanup_policy", "compact", Level.FAULT, "cleanup.policy=delete"),
        ("unclean_leader_election_enable", "true", Level.FAULT, "enable=false"),
        ("min_insync_replicas", "1", Level.ADVICE, "min.insync.replicas=2"),
        ("message_timestamp_type", "CreateTime", Level.ADVICE, "type=LogAppendTime"),
    ],
)
def test_a_topic_that_may_lose_requests_is_named_with_the_command(
    key, value, level, fix
):
    found = bad(diagnosis.of_topics(settings(), 3, topics(**{key: value})))
    assert {one.level for one in found} == {level}
    assert all(fix in one.fix and "kafka-configs.sh" in one.fix for one in found)


def test_one_broker_is_advised_against():
    (found,) = bad(diagnosis.of_topics(settings(), 1, topics()))
    assert (found.what, found.level) == ("kafka", Level.ADVICE)


def test_an_old_redis_is_a_fault():
    (found,) = bad(redis("6.0.16"))
    assert (found.level, "6.2" in found.fix) == (Level.FAULT, True)


def test_a_redis_that_evicts_is_a_fault():
    (found,) = bad(redis(maxmemory_policy="allkeys-lru"))
    assert (found.level, "noeviction" in found.fix) == (Level.FAULT, True)


def test_a_redis_without_a_file_is_advised_against():
    (found,) = bad(redis(appendonly="no"))
    assert (found.level, "appendonly yes" in found.fix) == (Level.ADVICE, True)


def test_a_redis_that_tells_nothing_is_said_to_be_unchecked():
    (found,) = bad(diagnosis.of_redis(RedisFacts("7.2.4", {}, 0.0)))
    assert "unchecked" in found.text


@pytest.mark.parametrize(("ahead_s", "where"), [(60, "ahead of"), (-60, "behind")])
def test_clocks_that_differ_are_told(ahead_s, where):
    (found,) = bad(redis(ahead_s=ahead_s))
    assert (found.what, where in found.text) == ("clock", True)


def test_requests_that_wait_for_a_worker_are_a_fault_with_the_command():
    (found,) = bad(diagnosis.of_workers(settings(), {}, {"m": 3}))
    assert found.level is Level.FAULT
    assert "no live worker serves m: 3 requests wait" in found.text
    assert "celery -A agentsched worker -Q m" in found.fix


def test_a_pool_that_is_scaled_to_zero_is_no_fault():
    (found,) = bad(diagnosis.of_workers(settings(), {}, {}))
    assert found.level is Level.ADVICE
    assert "celery -A agentsched worker -Q m" in found.fix


def test_too_few_slots_are_told():
    (found,) = bad(diagnosis.of_workers(settings(), {"m": 1}, {}))
    assert found.level is Level.ADVICE


def group(*depths):
    partitions = [Partition(topic, number) for topic in ("a", "b") for number in (0, 1)]
    found = dict(zip(partitions, (Depth(*each) for each in depths), strict=True))
    return diagnosis.of_group("blue-bridge", found)


def test_a_new_group_on_a_topic_with_history_is_advised_against():
    (finding,) = group((None, 5, 1_205), (None, 0, 34), (None, 7, 7), (None, 0, 0))
    assert (finding.level, finding.what) == (Level.ADVICE, "group blue-bridge")
    assert "nothing on a, which holds 1,234 records" in finding.text
    assert "--group blue-bridge --topic a --reset-offsets --to-latest" in finding.fix


def test_a_topic_that_is_new_for_the_group_is_named_alone():
    (finding,) = group((3, 0, 3), (None, 0, 9), (None, 0, 2), (None, 0, 0))
    assert "nothing on b, which holds 2 records" in finding.text


def test_a_group_that_goes_on_or_has_nothing_to_read_is_fine():
    (finding,) = group((3, 0, 9), (None, 0, 9), (None, 4, 4), (None, 0, 0))
    assert finding.level is Level.OK


def test_no_bridge_is_a_fault():
    (found,) = bad(diagnosis.of_bridges(0))
    assert (found.level, found.fix) == (Level.FAULT, "start one: python -m bridge")


@pytest.mark.parametrize(
    ("facts", "level", "word"),
    [
        (EndpointFacts(401), Level.FAULT, "key"),
        (EndpointFacts(403), Level.FAULT, "key"),
        (EndpointFacts(404), Level.ADVICE, "/v1"),
        (EndpointFacts(problem="cannot be reached"), Level.FAULT, "start the server"),
    ],
)
def test_a_model_server_that_does_not_serve_us_is_told(facts, level, word):
    (found,) = diagnosis.of_endpoints({"u": facts})
    assert (found.level, word in found.fix) == (level, True)


def test_only_a_fault_fails_a_script():
    advice = diagnosis.of_workers(settings(), {"m": 1}, {})
    assert diagnosis.exit_code(advice) == 0
    assert diagnosis.exit_code(diagnosis.of_bridges(0)) == 1
