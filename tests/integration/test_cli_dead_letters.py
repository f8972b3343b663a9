"""`agentsched dead-letters` on real Kafka, as a person or a script uses it."""

import contextlib
import json
from datetime import UTC, datetime

import pytest
import yaml

from agentsched.errors import ErrorCode
from agentsched.kafka.readers.topic_scan import TopicScan
from agentsched.wire.dead_letters import dead_letter_record
from agentsched.wire.records import Headers, InboundRecord, OutboundRecord
from tests.support.command import run_agentsched
from tests.support.guides import commands
from tests.support.model_server import ModelServer
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

SMALL_BYTES = 2_000
SECRET = "the secret prompt"
LARGE = 990_000
"""More than a dead letter keeps, less than a topic's default limit."""


@pytest.fixture
def system(tmp_path, kafka):
    limits = {"limits": {"request_max_bytes": SMALL_BYTES}}
    with (
        ModelServer() as server,
        System(tmp_path, kafka, server, {"m": 2}, config=limits) as system,
    ):
        yield system.start()


def letters(system, *arguments, code=0, text_in=""):
    done = run_agentsched(system.root, "dead-letters", *arguments, text_in=text_in)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def listed(system, *options):
    done = letters(system, "list", "--json", *options)
    return [json.loads(line) for line in done.stdout.splitlines()]


def reasons(system, *options):
    return [each["reason"] for each in listed(system, *options)]


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def put(system, cls, value, headers=(), key=None):
    topic = system.topics[cls]
    record = OutboundRecord(topic, value, key, Headers(headers))
    return system.producer.send(record).result(20)


def request(id_, size=0, **fields):
    body = {"correlation_id": id_, "content": SECRET} | fields
    return json.dumps(body).ljust(size).encode()


def records(system, cls):
    """What a class's topic holds."""
    scan = TopicScan(system.settings.kafka, [system.topics[cls]])
    with contextlib.closing(scan):
        scan.open()
        return list(scan.read(scan.held))


def wait_for_letters(system, count):
    eventually(lambda: len(listed(system)) == count, timeout_s=30)


def raise_the_limit(system):
    path = system.root / "agentsched.yaml"
    config = yaml.safe_load(path.read_text())
    del config["limits"]["request_max_bytes"]
    path.write_text(yaml.safe_dump(config))
    system.stop("bridge0")
    system.bridge("bridge0")


def test_dead_letters_are_found_shown_replayed_and_purged(system):
    put(system, "high", request("tall", 3_000, agent_id="a"), key="k")
    put(
        system,
        "high",
        request("enormous", LARGE),
        [("trace", b"\xff"), ("trace", b"2")],
    )
    put(system, "low", SECRET.encode(), [("correlation", b"x")])
    put(system, "low", request("twin"))
    system.replies.wait_for({"twin"}, 30)
    put(system, "low", request("twin", more=1))
    wait_for_letters(system, 4)

    found_by_what_they_say(system)
    shown_without_content_unless_asked(system)
    what_cannot_help_is_not_replayed(system)
    raise_the_limit(system)
    replayed_as_they_were(system)
    replayed_once(system)
    poison_gets_a_new_identity(system)
    the_commands_of_the_guide_work(system)
    purged_up_to_a_point(system)


def found_by_what_they_say(system):
    assert sorted(reasons(system)) == [
        "CONFLICT",
        "MALFORMED",
        "TOO_LARGE",
        "TOO_LARGE",
    ]
    assert reasons(system, "--reason", "conflict") == ["CONFLICT"]
    assert reasons(system, "--agent", "a") == ["TOO_LARGE"]
    assert reasons(system, "--id", "twin") == ["CONFLICT"]
    assert len(reasons(system, "--topic", "low")) == 2
    assert len(reasons(system, "--since", "1h")) == 4
    assert reasons(system, "--until", "1h") == []
    assert reasons(system, "--since", datetime.now(UTC).isoformat()) == []
    assert len(reasons(system, "--limit", "3")) == 3
    table = letters(system, "list").stdout
    assert "MALFORME" in table  # an age of minutes takes room from it
    assert "4 dead letters" in table
    assert SECRET not in table + json.dumps(listed(system))


def shown_without_content_unless_asked(system):
    (large,) = (each for each in listed(system) if each["omitted"])
    malformed = listed(system, "--reason", "MALFORMED")[0]
    place = malformed["place"]
    plain = letters(system, "show", place).stdout
    assert "MALFORMED: the value is not JSON" in plain
    assert "correlation = x" in plain
    assert SECRET not in plain
    assert SECRET in letters(system, "show", place, "--content").stdout
    shown = json.loads(letters(system, "show", place, "--json", "--content").stdout)
    assert (shown["value"], shown["headers"]) == (SECRET, [["correlation", "x"]])
    short = f"low:{malformed['offset']}"
    assert letters(system, "show", short).stdout == plain
    assert "no dead letter at" in letters(system, "show", "low:99", code=1).stderr
    assert "no place" in letters(system, "show", "nonsense", code=2).stderr
    assert large["omitted"] == ["value_hash", "value_omitted_bytes"]
    assert large["bytes"] == LARGE
    whole = letters(system, "show", large["place"], "--json", "--content").stdout
    assert json.loads(whole)["value"] == request("enormous", LARGE).decode()


def what_cannot_help_is_not_replayed(system):
    done = letters(system, "replay", "--reason", "TOO_LARGE", code=2)
    assert "say --yes" in done.stderr
    done = letters(system, "replay", "--reason", "TOO_LARGE", "--yes", code=1)
    assert done.stdout.count("raise limits.request_max_bytes") == 2
    done = letters(system, "replay", "--reason", "MALFORMED", code=1)
    assert "would come back as MALFORMED" in done.stdout
    assert len(listed(system, "--not-replayed")) == 4


def replayed_as_they_were(system):
    options = ["replay", "--reason", "TOO_LARGE", "--json"]
    dry = lines(letters(system, *options, "--dry-run"))
    assert {each["outcome"] for each in dry} == {"would be replayed"}
    done = lines(letters(system, *options, "--yes"))
    assert {each["outcome"] for each in done} == {"replayed"}
    replies = system.replies.wait_for({"tall", "enormous"}, 60)
    assert {reply["status"] for reply in replies.values()} == {"completed"}
    assert replies["tall"]["agent_id"] == "a"
    read = {record.value: record for record in records(system, "high")[2:]}
    tall = read[request("tall", 3_000, agent_id="a")]
    large = read[request("enormous", LARGE)]
    assert tall.key == b"k"
    assert large.headers.pairs[:2] == (("trace", b"\xff"), ("trace", b"2"))
    assert large.headers["replay_of"].startswith(
        f"{system.topics['high']}.dead_letter:0:"
    )


def replayed_once(system):
    before = len(records(system, "high"))
    done = letters(system, "replay", "--reason", "TOO_LARGE", "--yes")
    assert "2 replayed before" in done.stderr
    assert "nothing to replay" in done.stdout
    assert len(records(system, "high")) == before
    assert len(listed(system, "--replayed")) == 2
    place = listed(system, "--replayed", "--agent", "a")[0]["place"]
    letters(system, "replay", place, "--again")
    eventually(lambda: system.replies.counts()["tall"] == 2, timeout_s=30)
    calls = sum(call.prompt == SECRET for call in system.server.calls)
    assert calls == 3  # tall, enormous, twin: the second replay was no second call


def poison_gets_a_new_identity(system):
    at = put(system, "medium", request("venom"))
    system.replies.wait_for({"venom"}, 30)
    bad = InboundRecord(at.topic, at.partition, at.offset, 1, request("venom"))
    source = f"{at.topic}:t:{at.partition}"
    letter = dead_letter_record(bad, source, ErrorCode.POISON, "it ends processes")
    system.producer.send(letter).result(20)
    (done,) = lines(letters(system, "replay", "--reason", "POISON", "--json"))
    new = done["correlation_id"]
    assert new != "venom"
    reply = system.replies.wait_for({new}, 30)[new]
    assert reply["status"] == "completed"


def the_commands_of_the_guide_work(system):
    first = listed(system, "--topic", "high")[0]
    for command in commands("docs/how-to/dead-letters.md"):
        typed = command.replace("high_priority:0:12", first["place"])
        typed = typed.replace("high:12", f"high:{first['offset']}")
        _, group, *arguments = typed.split()
        assert group == "dead-letters"
        letters(system, *arguments)


def purged_up_to_a_point(system):
    first, last = listed(system, "--topic", "low")
    assert "say the point" in letters(system, "purge", code=2).stderr
    point = ["purge", "--up-to", first["place"]]
    assert "say --yes" in letters(system, *point, code=2).stderr
    dry = letters(system, *point, "--dry-run").stdout
    assert "1 of them never replayed" in dry
    assert "1 records would be deleted" in dry
    assert len(listed(system, "--topic", "low")) == 2
    letters(system, *point, "--yes")
    assert [each["place"] for each in listed(system, "--topic", "low")] == [
        last["place"]
    ]
    assert "nothing to delete" in letters(system, "purge", "--before", "1h").stdout
    letters(system, "purge", "--all", "--yes")
    assert listed(system) == []
    assert "0 dead letters" in letters(system, "list").stdout
