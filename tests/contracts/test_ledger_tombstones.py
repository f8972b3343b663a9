"""What an answered request leaves in Redis: little, for long enough, and no content."""

import struct
from dataclasses import replace
from hashlib import sha1
from pathlib import Path

import pytest

from agentsched.embedded.valkey import EmbeddedValkey
from agentsched.errors import LedgerError
from agentsched.ledger.redis.scripts import _source
from agentsched.ledger.turns import Completion, Publication
from agentsched.ledger.values import AdmitOutcome, Admitted, State
from agentsched.wire.records import RecordAt
from tests.support.ledgers import GPT, OK, REPLY_AT, SOURCE, OnRedis, World

SLICES = 8
MAX_BYTES = 100
"""Of one answered request (design, 3.2)."""
VOLUME = 200_000
PROMPT = b'{"content":"a prompt of a person"}'
REPLY = b'{"content":"an answer for a person"}'


def root(world: World) -> str:
    return f"{world.backend.namespace}:{world.epoch}:"


def left(world: World, words: str = "") -> list[str]:
    """The names of keys below the epoch, without what is before them."""
    names = (name.decode() for name in world.backend.names())
    ours = (name.removeprefix(root(world)) for name in names if root(world) in name)
    return sorted(name for name in ours if name.startswith(words))


def content(world: World) -> str:
    """Every value of every key."""
    client = world.backend.client
    read = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"zset": lambda name: client.zrange(name, 0, -1),
        b"stream": client.xrange,
    }
    return "\n".join(str(read[client.type(n)](n)) for n in world.backend.names())


def test_a_finished_request_leaves_nothing_behind_but_its_tombstone(on_redis: World):
    before = set(left(on_redis))
    on_redis.answered()
    new = [name for name in left(on_redis) if name not in before]
    (bucket,) = left(on_redis, "answered:")
    kept = ["answered", bucket, "lists:gpt-4", "places", "plan"]
    assert new == [*kept, "totals:gpt-4", "turns"]
    assert on_redis.backend.client.hlen(root(on_redis) + bucket) == 1


def test_neither_prompt_nor_reply_outlive_the_answer(on_redis: World):
    admission = on_redis.admission(payload=PROMPT)
    key = admission.facts.key
    on_redis.admit(admission)
    assert PROMPT.decode() in content(on_redis)
    on_redis.take(key)
    on_redis.complete(key, "L1", REPLY)
    assert PROMPT.decode() not in content(on_redis)
    assert REPLY.decode() in content(on_redis)
    on_redis.publish(key)
    assert REPLY.decode() not in content(on_redis)
    assert not left(on_redis, "req:")


def test_tombstones_expire_an_eighth_of_the_horizon_late_at_most(on_redis: World):
    on_redis.limit(horizon_s=80)
    on_redis.answered()
    (bucket,) = left(on_redis, "answered:")
    for name in (bucket, "answered"):
        assert 75_000 < on_redis.backend.client.pttl(root(on_redis) + name) <= 90_000


def test_tombstones_of_every_slice_are_found(on_redis: World):
    keys = []
    for number in range(SLICES + 1):
        # Another horizon is another slice: its end is another moment.
        on_redis.limit(horizon_s=3600 + 1000 * number)
        keys.append(on_redis.answered())
    assert len(on_redis.backend.client.zrange(root(on_redis) + "answered", 0, -1)) == 9
    assert {on_redis.state(key) for key in keys} == {State.ANSWERED}
    again = on_redis.admit(*(on_redis.admission(key=key) for key in keys))
    assert again == [Admitted(AdmitOutcome.REPEATED, State.ANSWERED, REPLY_AT)] * 9


def test_a_slice_that_was_struck_off_is_known_again_with_its_next_tombstone(
    on_redis: World,
):
    """A clock that is ahead strikes off slices that last, and is put right again."""
    first, second = (on_redis.admission(key=f"{n:032x}").facts.key for n in (1, 2))
    on_redis.answered(key=first)
    on_redis.backend.client.delete(root(on_redis) + "answered")
    on_redis.answered(key=second)
    assert len(left(on_redis, "answered:")) == 1
    assert on_redis.state(second) is on_redis.state(first) is State.ANSWERED


def test_slices_that_are_over_are_not_looked_in_any_more(on_redis: World):
    on_redis.limit(horizon_s=1)
    on_redis.answered()
    on_redis.backend.advance(1200)
    on_redis.limit(horizon_s=3600)
    on_redis.answered()
    assert len(on_redis.backend.client.zrange(root(on_redis) + "answered", 0, -1)) == 1


def test_a_replay_of_an_attached_record_is_the_same_after_the_answer(world: World):
    key = world.running()
    again = world.admission(key=key)
    assert world.admit(again)[0].outcome is AdmitOutcome.ATTACHED
    world.complete(key, "L1")
    world.publish(key)
    assert world.admit(again) == [Admitted(AdmitOutcome.SAME, State.ANSWERED)]


def test_a_replay_is_the_same_when_its_bitmap_is_gone(world: World):
    admission = world.admission()
    world.admit(admission)
    world.complete(admission.facts.key)
    world.publish(admission.facts.key)
    world.ledger.forget_done(world.epoch, SOURCE, 10 * 65_536)
    assert world.done_offsets() == set()
    assert world.admit(admission) == [Admitted(AdmitOutcome.SAME, State.ANSWERED)]


def test_offsets_and_places_come_back_whole(on_redis: World):
    at = RecordAt("a.topic_of-many.words", 123_456, 2**47 - 1)
    key = on_redis.ready(source="high_priority:T1:999", offset=2**47 - 2)
    on_redis.complete(key)
    on_redis.publish(key, at)
    facts = on_redis.facts(key=key, source="high_priority:T1:999", offset=2**47 - 2)
    same = replace(on_redis.admission(key=key), facts=facts)
    assert on_redis.admit(same) == [Admitted(AdmitOutcome.SAME, State.ANSWERED)]
    assert on_redis.ledger.views.describe(on_redis.epoch, key).reply_at == at


def test_the_age_of_an_answer_is_told(world: World):
    key = world.answered()
    world.backend.advance(30)
    assert 30 <= world.view(key).since_ms < 60_000
    assert 30 <= world.ledger.views.describe(world.epoch, key).since_ms < 60_000


# -- versions ------------------------------------------------------------------------


def _bury(world: World, key: str, value: bytes) -> None:
    """Put bytes where the tombstone of a request is looked for."""
    client = world.backend.client
    ends = world.backend.now_ms() + 3_600_000
    shard = int(key[:3], 16) % 2048
    client.zadd(f"{root(world)}answered", {str(ends): ends})
    client.hset(f"{root(world)}answered:{ends}:{shard}", bytes.fromhex(key), value)
    client.hset(f"{root(world)}places", mapping={"#1": SOURCE, "#2": "results 3"})


GOLDEN_KEY = "0123456789abcdef0123456789abcdef"
GOLDEN = bytes.fromhex(
    "01"  # version
    "0036ee80"  # the slice expires an hour after the answer
    "ed13a0ab7d41db0d"  # half of the hash of the payload
    "9be5a29c3035afb2"  # half of the hash of "lease:L1"
    "00000001"  # the partition of the record
    "00000000002a"  # its offset
    "00000002"  # the partition of the reply
    "00000000004d"  # its offset
)


def test_a_tombstone_of_version_1_is_read(on_redis: World):
    _bury(on_redis, GOLDEN_KEY, GOLDEN)
    same = on_redis.admission(key=GOLDEN_KEY, offset=42)
    again = on_redis.admission(key=GOLDEN_KEY, offset=43)
    other = on_redis.admission(b"another payload", key=GOLDEN_KEY, offset=44)
    assert on_redis.admit(same, again, other) == [
        Admitted(AdmitOutcome.SAME, State.ANSWERED),
        Admitted(AdmitOutcome.REPEATED, State.ANSWERED, REPLY_AT),
        Admitted(AdmitOutcome.CONFLICT),
    ]
    assert on_redis.complete(GOLDEN_KEY, "L1")
    assert not on_redis.complete(GOLDEN_KEY, "L2")


def test_a_tombstone_of_version_1_is_written(on_redis: World):
    key = on_redis.running("L1", key=GOLDEN_KEY, offset=42)
    on_redis.complete(key, "L1")
    on_redis.publish(key, REPLY_AT)
    (bucket,) = left(on_redis, "answered:")
    value = on_redis.backend.client.hget(root(on_redis) + bucket, bytes.fromhex(key))
    until_the_end = slice(1, 5)
    assert 3_600_000 <= struct.unpack(">I", value[until_the_end])[0] <= 4_050_000
    assert (value[:1], value[5:]) == (GOLDEN[:1], GOLDEN[5:])


def test_a_tombstone_of_the_future_is_refused_with_a_reason(on_redis: World):
    _bury(on_redis, GOLDEN_KEY, b"\x02" + GOLDEN[1:])
    for step in (
        lambda: on_redis.admit(on_redis.admission(key=GOLDEN_KEY)),
        lambda: on_redis.publish(GOLDEN_KEY),
        lambda: on_redis.complete(GOLDEN_KEY),
        lambda: on_redis.ledger.views.describe(on_redis.epoch, GOLDEN_KEY),
    ):
        with pytest.raises(LedgerError, match="newer version of AgentSched"):
            step()


def test_one_of_the_future_does_not_stop_the_other_steps_of_a_turn(on_redis: World):
    world = on_redis
    world.beat()
    done, sent = world.running("L1"), world.running("L2")
    world.complete(sent, "L2")
    _bury(world, GOLDEN_KEY, b"\x02" + GOLDEN[1:])
    answer = world.turn(
        published=(Publication(GOLDEN_KEY, REPLY_AT), Publication(sent, REPLY_AT)),
        completions=(
            Completion(GOLDEN_KEY, "L9", b"r", OK),
            Completion(done, "L1", b"r", OK),
        ),
    )
    # Somebody has answered it, whoever that was.
    assert (answer.published, answer.completed) == ((True, True), (False, True))
    assert (world.state(done), world.state(sent)) == (State.DONE, State.ANSWERED)


def test_a_step_that_fails_half_way_leaves_what_was_done_whole(on_redis: World):
    world = on_redis
    world.beat()
    done, broken = world.running("L1"), world.running("L2")
    world.backend.client.hset(f"{root(world)}req:{broken}", "lease_end", "no number")
    completions = (Completion(done, "L1", b"r", OK), Completion(broken, "L2", b"r", OK))
    with pytest.raises(LedgerError):
        world.turn(completions=completions)
    assert world.state(done) is State.DONE
    assert [slot.key for slot in world.ledger.snapshot(world.epoch).slots] == [broken]
    assert world.ledger.totals(world.epoch)[GPT].calls == 1


def test_tombstones_that_the_version_before_wrote_are_honoured(on_redis: World):
    """Until 2026-11 an answered request kept its HASH, for the horizon."""
    first = on_redis.admission()
    key = first.facts.key
    name = f"{root(on_redis)}req:{key}"
    fields = {
        "st": "answered",
        "hash": first.payload_hash,
        "source": SOURCE,
        "offset": first.facts.offset,
        "winner": "lease:L1",
        "ring": 1,
        "reply_at": "results 3 77",
        "since": on_redis.backend.now_ms(),
    }
    on_redis.backend.client.hset(name, mapping=fields)
    on_redis.backend.client.expire(name, 3600)
    assert on_redis.admit(
        first, on_redis.admission(key=key), on_redis.admission(b"x", key=key)
    ) == [
        Admitted(AdmitOutcome.SAME, State.ANSWERED),
        Admitted(AdmitOutcome.REPEATED, State.ANSWERED, REPLY_AT),
        Admitted(AdmitOutcome.CONFLICT),
    ]
    assert on_redis.complete(key, "L1")
    assert not on_redis.complete(key, "L2")
    assert on_redis.publish(key)
    assert on_redis.ledger.withdraw(on_redis.epoch, [key]) == [False]
    assert on_redis.ledger.cancel(on_redis.epoch, key, 60) is State.ANSWERED
    assert on_redis.ledger.views.describe(on_redis.epoch, key).reply_at == REPLY_AT
    assert 0 < on_redis.backend.client.ttl(name) <= 3600


# -- memory --------------------------------------------------------------------------

BURY_MANY = """
local first, count = tonumber(ARGV[3]), tonumber(ARGV[4])
for number = first, first + count - 1 do
  local hash = redis.sha1hex(number)
  bury(string.sub(hash, 1, 32), hash, 'lease:' .. hash, 'high_priority:T1:' .. number % 12,
    math.floor(number / 12), 'results ' .. number % 6 .. ' ' .. number)
end
"""
"""What `published` does to what it leaves, by the same function, without the way there."""


@pytest.mark.long
@pytest.mark.timeout(180)
def test_an_answered_request_takes_100_bytes_at_most(tmp_path: Path):
    with EmbeddedValkey(tmp_path / "data", tmp_path / "log") as server:
        _fill_and_measure(World(OnRedis(server.url)))


def _fill_and_measure(on_redis: World) -> None:
    client = on_redis.backend.client
    on_redis.answered()  # scripts and places are there
    load = client.register_script(
        _source("pools", checks_epoch=True).split("local function step()")[0]
        + BURY_MANY
    )
    before = client.memory_stats()["dataset.bytes"]
    names_before = client.memory_stats()["overhead.total"]
    for number in range(SLICES):
        on_redis.limit(horizon_s=3600 + 500 * number)
        part = VOLUME // SLICES
        for first in range(part * number, part * (number + 1), 5_000):
            load(args=[on_redis.backend.namespace, on_redis.epoch, first, 5_000])
    stats = client.memory_stats()
    grown = stats["dataset.bytes"] - before + stats["overhead.total"] - names_before
    with client.pipeline(transaction=False) as pipeline:
        for name in left(on_redis, "answered:"):
            pipeline.hlen(root(on_redis) + name)
        assert sum(pipeline.execute()) == VOLUME + 1
    assert grown / VOLUME <= MAX_BYTES, grown / VOLUME
    found = on_redis.ledger.views.describe(on_redis.epoch, sha1(b"77").hexdigest()[:32])
    assert found.reply_at == RecordAt("results", 5, 77)
    assert on_redis.publish(sha1(b"199999").hexdigest()[:32])
    on_redis.backend.ledger.close()
