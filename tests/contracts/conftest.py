"""Fixtures of the contract tests: every adapter of a port, behind one handle."""

from collections.abc import Iterator

import pytest

from tests.support.ledgers import InMemory, OnRedis, World
from tests.support.redis_commands import CommandWatch


@pytest.fixture(params=["memory", "redis"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A ledger that is ready for use; empty, and nobody else's."""
    if request.param == "memory":
        yield World(InMemory())
        return
    backend = OnRedis(request.getfixturevalue("redis_url"))
    yield World(backend)
    backend.lose()
    backend.ledger.close()


@pytest.fixture(scope="session")
def command_watch(redis_url: str) -> Iterator[CommandWatch]:
    """Looks at every command that the session's Redis runs."""
    with CommandWatch(redis_url) as watch:
        yield watch


@pytest.fixture(autouse=True)
def _only_what_the_oldest_redis_has(command_watch: CommandWatch) -> Iterator[None]:
    yield
    assert command_watch.take() == []
