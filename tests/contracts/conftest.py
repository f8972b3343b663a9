"""Fixtures of the contract tests: every adapter of a port, behind one handle."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.ledgers import InMemory, OnRedis, World
from tests.support.redis_servers import SERVERS, Valkey


def url_of(server: str, request: pytest.FixtureRequest) -> str:
    own = {"valkey": "valkey_url", "oldest redis": "oldest_redis_url"}
    return str(request.getfixturevalue(own[server]))


@pytest.fixture(scope="session", params=SERVERS)
def redis_url(request: pytest.FixtureRequest) -> str:
    """Of each server; one test may see another's keys."""
    return url_of(request.param, request)


@pytest.fixture
def on_redis(redis_url: str) -> Iterator[World]:
    """A ledger on each server that is ready for use; empty, and nobody else's."""
    with _world_on(redis_url) as world:
        yield world


@pytest.fixture(params=SERVERS)
def on_own_redis(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """On a server of each kind that a test may harm."""
    oldest = request.param == "oldest redis"
    program = request.getfixturevalue("oldest_redis") if oldest else None
    with Valkey(tmp_path, program=program) as server, _world_on(server.url) as world:
        yield world


@pytest.fixture(params=["memory", *SERVERS])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """The same, and a ledger in memory."""
    if request.param == "memory":
        yield World(InMemory())
        return
    with _world_on(url_of(request.param, request)) as world:
        yield world


@contextmanager
def _world_on(url: str) -> Iterator[World]:
    backend = OnRedis(url)
    yield World(backend)
    backend.lose()
    backend.ledger.close()
