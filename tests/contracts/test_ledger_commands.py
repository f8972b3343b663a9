"""The ledger uses nothing that Redis 6.2 has not got: its scripts and what it sends.

`conftest.py` looks at every command that any contract test has the server run; here is
what no test may reach, and the proof that a later command or option is found.
"""

import re
from importlib.resources import files

import pytest
import redis

from tests.support.redis_commands import CommandWatch, Newer, calls_of

LATER = [
    ("EXPIRE", "k", "5", "NX"),
    ("PEXPIREAT", "k", "5000000000000", "gt"),
    ("EXPIRETIME", "k"),
    ("LMPOP", "1", "k", "LEFT"),
    ("BITCOUNT", "k", "0", "-1", "BIT"),
    ("PUBSUB", "SHARDCHANNELS"),
]
THERE = [
    ("EXPIRE", "k", "5"),
    ("GETDEL", "k"),
    ("SET", "k", "v", "EX", "5", "GET"),
    ("ZADD", "z", "GT", "1", "a"),
    ("ZRANGE", "z", "(1", "+inf", "BYSCORE", "LIMIT", "0", "1"),
    ("XADD", "x", "NOMKSTREAM", "MAXLEN", "~", "9", "LIMIT", "5", "*", "a", "NX"),
    ("CLIENT", "ID"),
]
FUNCTIONS = {"call", "pcall", "error_reply", "sha1hex"}
"""Of `redis.`: all of them are older than 6.2."""

SCRIPTS = {
    each.name: each.read_text("utf-8")
    for each in (files("agentsched.ledger") / "lua").iterdir()
}


@pytest.fixture
def newer(command_watch: CommandWatch) -> Newer:
    return command_watch.newer


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_calls_nothing_that_came_later(newer: Newer, name: str):
    for call in calls_of(SCRIPTS[name]):
        assert newer.of(call) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_uses_functions_that_were_always_there(name: str):
    text = re.sub(r"--[^\n]*", "", SCRIPTS[name])
    assert set(re.findall(r"\bredis\.(\w+)", text)) <= FUNCTIONS
    assert not re.search(r"\bserver\.", text)
    # A table, and not a text, is an error since 7.0.
    assert not re.search(r"\berror\(\s*\{", text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("redis.call('EXPIRE', k, 5, 'NX')", "expire NX is there since 7.0.0"),
        ('redis.pcall("EXPIRETIME", k)', "expiretime is there since 7.0.0"),
        (
            "redis.call('DEL', f(redis.call('LMPOP', 1, k)))",
            "lmpop is there since 7.0.0",
        ),
    ],
)
def test_a_later_call_of_a_script_is_found(newer: Newer, text: str, found: str):
    said = [one for call in calls_of(text) for one in newer.of(call)]
    assert found in said


@pytest.mark.parametrize("words", LATER)
def test_what_is_sent_and_came_later_is_found(
    command_watch: CommandWatch, redis_url: str, words: tuple[str, ...]
):
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command(*words)
        (said,) = command_watch.take()
        assert words[0].lower() in said

        client.eval("return redis.call(unpack(ARGV))", 0, *words)
    assert command_watch.take() == [said]


@pytest.mark.parametrize("words", THERE)
def test_what_is_sent_and_was_there_is_fine(
    command_watch: CommandWatch, redis_url: str, words: tuple[str, ...]
):
    with redis.Redis.from_url(redis_url) as client:
        client.delete("k", "z", "x")
        client.execute_command(*words)
    assert command_watch.take() == []
