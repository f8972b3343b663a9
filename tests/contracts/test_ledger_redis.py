"""What only the ledger on Redis can show: loss of server and scripts, its keys."""

import traceback
from pathlib import Path

import pytest
import redis

from agentsched.embedded.valkey import EmbeddedValkey
from agentsched.errors import EpochChanged, LedgerError, LedgerUnavailable
from agentsched.ledger.operator_orders import Control, ControlKind
from agentsched.ledger.redis.ledger import MAX_ADMITTED, RedisLedger
from agentsched.ledger.turns import Member
from agentsched.ledger.values import AdmitOutcome, ChangeKind
from tests.support.ledgers import LONG_MS, OnRedis, World

SECRET = b"the-prompt-of-a-person"
KEY = "0123456789abcdef" * 2


def test_building_a_ledger_opens_nothing():
    RedisLedger.from_url("redis://127.0.0.1:1/0").close()


def test_a_server_that_is_gone_is_ledger_unavailable(tmp_path: Path):
    server = EmbeddedValkey(tmp_path / "data", tmp_path / "log")
    backend = OnRedis(server.url)
    world = World(backend)
    key, admission = world.running(), world.admission()
    server.stop()
    for call in (
        lambda: world.admit(admission),
        lambda: world.complete(key, "L1"),
        lambda: world.changes_since("0-0"),
        world.ledger.views.epoch,
        world.ledger.membership.beat,
        lambda: world.ledger.membership.leave_worker("w1"),
        lambda: world.ledger.membership.leave_bridge("b1"),
        lambda: world.ledger.membership.lead("d", 10),
    ):
        with pytest.raises(LedgerUnavailable):
            call()
    backend.ledger.close()


def test_a_worker_that_left_leaves_nothing_behind(on_redis: World, redis_url: str):
    on_redis.ledger.membership.beat_worker("gone", {"m": 1}, LONG_MS, "127.0.0.1:1")
    on_redis.ledger.membership.leave_worker("gone")
    with redis.Redis.from_url(redis_url) as client:
        namespace = on_redis.backend.namespace
        for name in ("workers:slots", "workers:http", "workers:parked"):
            assert client.hgetall(f"{namespace}:{name}") == {}


def test_every_step_is_told_with_its_end(tmp_path: Path):
    told = []
    with EmbeddedValkey(tmp_path / "data", tmp_path / "log") as server:
        ledger = RedisLedger.from_url(
            server.url, on_step=lambda step, took_s, error: told.append((step, error))
        )
        epoch = ledger.membership.beat().pulse.epoch
        ledger.withdraw(epoch, [KEY])
        with pytest.raises(EpochChanged):
            ledger.expire("another", KEY)
        with pytest.raises(EpochChanged):
            ledger.withdraw("another", [KEY])
    with pytest.raises(LedgerUnavailable):
        ledger.membership.live_slots()
    assert told == [
        ("beat", ""),
        ("withdraw", ""),
        ("expire", "EpochChanged"),
        ("withdraw", "EpochChanged"),
        ("live_slots", "LedgerUnavailable"),
    ]
    ledger.close()


def test_connections_that_the_server_closed_are_replaced(
    on_redis: World, redis_url: str
):
    key = on_redis.ready()
    ours = on_redis.backend.client.client_id()
    with redis.Redis.from_url(redis_url) as other:
        assert other.client_kill_filter(_id=ours) == 1
    assert on_redis.take(key)


def test_scripts_that_the_server_forgot_are_loaded_again(on_own_redis: World):
    key = on_own_redis.ready()
    on_own_redis.backend.client.script_flush()
    assert on_own_redis.take(key).payload
    on_own_redis.backend.client.script_flush()
    answers = on_own_redis.admit(*(on_own_redis.admission() for _ in range(3)))
    assert [answer.outcome for answer in answers] == [AdmitOutcome.NEW] * 3


def test_a_full_server_is_unavailable_and_names_no_payload(on_own_redis: World):
    client = on_own_redis.backend.client
    admission = on_own_redis.admission(payload=SECRET)
    before = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(LedgerUnavailable) as caught:
            on_own_redis.admit(admission)
    finally:
        client.config_set("maxmemory", before)
    text = "".join(traceback.format_exception(caught.value))
    assert "OOM" in str(caught.value) or "OutOfMemory" in str(caught.value)
    assert SECRET.decode() not in text


def test_what_the_server_refuses_is_an_error_without_values(on_redis: World):
    client = on_redis.backend.client
    admission = on_redis.admission(payload=SECRET)
    prefix = f"{on_redis.backend.namespace}:{on_redis.epoch}"
    client.set(f"{prefix}:ready", "not a hash")
    with pytest.raises(LedgerError) as caught:
        on_redis.admit(admission)
    assert SECRET.decode() not in "".join(traceback.format_exception(caught.value))


def test_a_namespace_keeps_two_installations_apart(on_redis: World, redis_url: str):
    other = World(OnRedis(redis_url))
    key = other.ready()
    assert on_redis.state(key) is None
    other.backend.lose()
    other.ledger.close()


def test_the_bitmap_does_not_expire(on_redis: World):
    on_redis.answered()
    client = on_redis.backend.client
    names = [name for name in on_redis.backend.names() if b":done:" in name]
    assert len(names) == 2
    assert {client.ttl(name) for name in names} == {-1}


def test_what_another_version_wrote_for_operators_is_left_out(on_redis: World):
    ledger, client = on_redis.ledger, on_redis.backend.client
    name = on_redis.backend.namespace
    ledger.operations.impose(Control(ControlKind.PAUSE, "gpt-4"))
    client.zadd(f"{name}:questions", {"1 []": "inf"})
    client.hset(f"{name}:findings:1", "b1", "[]")
    ledger.membership.beat_bridge("b1", LONG_MS)
    client.set(f"{name}:report:b1", "1 []")
    orders = ledger.operations.orders(on_redis.epoch, "b2")
    assert ([one.name for one in orders.controls], orders.questions) == (["gpt-4"], ())
    assert ledger.operations.answers("1") == {}
    assert [one.report for one in ledger.operations.reports()] == [None]


UNREAD = {
    b"pause gpt-4": b'1 {"version":3,"by":"ana"}',
    b"block crawler": b"no time and no JSON",
    b"throttle llama3": b'2 {"version":3,"most":5}',
}


def test_an_order_that_cannot_be_read_holds_as_far_as_its_name_is_known(
    on_redis: World,
):
    on_redis.backend.client.hset(
        f"{on_redis.backend.namespace}:controls", mapping=UNREAD
    )
    controls = on_redis.ledger.operations.orders(on_redis.epoch, "b1").controls
    assert (list(controls.paused), list(controls.blocked)) == (["gpt-4"], ["crawler"])
    assert [one.name for one in controls.unknown] == ["throttle llama3"]
    assert not controls.starts("another model")
    assert all("upgrade this process" in one.reason for one in controls)


def test_an_order_that_cannot_be_read_comes_back_after_a_loss_as_it_was(
    on_redis: World,
):
    ledger, client = on_redis.ledger, on_redis.backend.client
    place = f"{on_redis.backend.namespace}:controls"
    client.hset(place, mapping=UNREAD)
    known, kept = ledger.operations.controls(), (b"pause gpt-4", b"throttle llama3")
    client.delete(place)
    ledger.operations.restore(known)
    assert client.hmget(place, kept) == [UNREAD[name] for name in kept]
    assert client.hget(place, "block crawler").endswith(b" no time and no JSON")


def test_an_order_that_is_not_known_can_be_lifted(on_redis: World):
    ledger = on_redis.ledger
    on_redis.backend.client.hset(
        f"{on_redis.backend.namespace}:controls", mapping=UNREAD
    )
    (unknown,) = ledger.operations.controls().unknown
    assert ledger.operations.lift(unknown.kind, unknown.name)
    assert ledger.operations.controls().unknown == ()


def test_what_a_turn_has_looked_at_is_no_longer_listed(on_redis: World):
    on_redis.beat()
    keys = [on_redis.ready() for _ in range(3)]
    void = Member(on_redis.unknown(), "0" * 32, 0, 0)
    on_redis.plan(void, *keys)
    on_redis.takes("L1", "L2")
    backend = on_redis.backend
    (name,) = (one for one in backend.names() if b":next:" in one)
    (member,) = backend.client.lrange(name, 0, -1)
    assert keys[2].encode() in member


def test_a_batch_is_cut_into_calls_that_redis_does_quickly(on_redis: World):
    sent = []
    ledger = RedisLedger(
        on_redis.backend.client,
        on_redis.backend.namespace,
        on_step=lambda *told: sent.append(told),
    )
    small = [on_redis.admission() for _ in range(MAX_ADMITTED + 1)]
    large = [on_redis.admission(b"x" * 2_500_000) for _ in range(2)]
    answers = ledger.admit(on_redis.epoch, [*small, *large])
    assert [one.outcome for one in answers] == [AdmitOutcome.NEW] * len(answers)
    cursor, places = "0-0", []
    while True:
        page, changes = ledger.changes(on_redis.epoch, cursor, 0, 1)
        if page == cursor:
            break
        cursor = page
        places.append(sum(one.kind is ChangeKind.READY for one in changes))
    assert [count for count in places if count] == [MAX_ADMITTED, 2, 1]
    assert len(sent) == 1, "one round trip"
