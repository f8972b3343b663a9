"""The soak's measures find what grew, and excuse what is explained."""

import os
from collections import Counter
from dataclasses import replace

import pytest
import redis

from tests.chaos.measures import (
    FDS,
    REDIS_MIB,
    RSS_MIB,
    THREADS,
    Held,
    Keys,
    Sample,
    figures_of,
    held_by,
    keys_of,
    leaks_of_processes,
    leaks_of_redis,
    slope_mib_a_minute,
    survivors,
)

FRESH = Keys(Counter({"{ns}:epoch": 1, "{ns}:{epoch}:changes": 1}), 2.0)
BRIDGE = Held(pid=7, fds=20, threads=10, rss_mib=90.0)


def samples(*each, minute=1.0):
    return [Sample(at * minute * 60, {"bridge0": held}) for at, held in enumerate(each)]


def with_key(name):
    return replace(FRESH, names=FRESH.names + Counter({name: 1}))


def test_what_is_as_before_is_no_leak():
    assert leaks_of_redis(FRESH, FRESH) == []
    assert leaks_of_processes(samples(BRIDGE, BRIDGE)) == []


@pytest.mark.parametrize(
    "name",
    [
        "{ns}:{epoch}:req:k",
        "{ns}:2-ab:ready",
        "{ns}:{epoch}:attached:k",
        "unacked",
        "{ns}:epoch",
    ],
)
def test_a_key_that_nothing_explains_is_a_leak(name):
    assert leaks_of_redis(FRESH, with_key(name)) == [
        f"soak: key {name} is left in Redis"
    ]


@pytest.mark.parametrize("name", ["{ns}:done:t:id:0:0", "{ns}:watermarks"])
def test_what_a_partition_is_remembered_by_is_none(name):
    assert leaks_of_redis(FRESH, with_key(name)) == []


def test_memory_of_redis_is_compared():
    grown = replace(FRESH, used_mib=FRESH.used_mib + REDIS_MIB + 0.1)
    assert len(leaks_of_redis(FRESH, grown)) == 1


@pytest.mark.parametrize(
    "grown",
    [
        replace(BRIDGE, fds=BRIDGE.fds + FDS + 1),
        replace(BRIDGE, threads=BRIDGE.threads + THREADS + 1),
        replace(BRIDGE, rss_mib=BRIDGE.rss_mib + RSS_MIB + 1),
    ],
)
@pytest.mark.parametrize("pid", [7, 8])
def test_a_process_that_holds_more_leaks_started_anew_or_not(grown, pid):
    assert len(leaks_of_processes(samples(BRIDGE, replace(grown, pid=pid)))) == 1


def test_a_process_that_nobody_started_is_told():
    (first, _), (_, last) = samples(BRIDGE, BRIDGE), samples(BRIDGE, BRIDGE)
    last = Sample(last.at_s, {"bridge0": BRIDGE, "ghost": BRIDGE})
    assert leaks_of_processes([first, last]) == [
        "soak: ghost runs, and nobody knows it"
    ]


def test_slow_growth_is_seen_in_a_long_run_only():
    growing = [replace(BRIDGE, rss_mib=90 + 0.8 * at) for at in range(31)]
    assert slope_mib_a_minute("bridge0", samples(*growing)) == pytest.approx(0.8)
    assert len(leaks_of_processes(samples(*growing))) == 1
    assert leaks_of_processes(samples(*growing, minute=0.1)) == []


def test_who_was_started_anew_is_no_survivor():
    assert survivors(samples(BRIDGE, BRIDGE)) == {"bridge0"}
    assert survivors(samples(BRIDGE, replace(BRIDGE, pid=8))) == set()


def test_the_figures_name_every_process():
    figures = figures_of(samples(BRIDGE, BRIDGE), FRESH, FRESH)
    assert figures["bridge0 fds"] == "20 -> 20"


def test_a_process_is_measured_as_it_is():
    own = held_by(os.getpid())
    assert own.fds > 0
    assert own.threads > 0
    assert own.rss_mib > 1


def test_the_keys_of_a_real_server_get_plain_names(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        client.hset("soaked:epoch", "id", "3-abc")
        client.set("soaked:3-abc:req:x", "1")
        client.set("soaked:2-old:req:x", "1")
        client.set("soaked:report:host/7/ab", "1")
        found = keys_of(client, "soaked")
        client.delete(*client.keys("soaked:*"))
    ours = {name for name in found.names if name.startswith("{ns}")}
    plain = {"epoch", "{epoch}:req:x", "2-old:req:x", "report:{bridge}"}
    assert ours == {f"{{ns}}:{name}" for name in plain}
    assert found.used_mib > 0
