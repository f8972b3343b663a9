"""Fixtures of the contract tests: every adapter of a port, behind one handle."""

from collections.abc import Iterator

import pytest

from tests.support.ledgers import InMemory, OnRedis, World


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
