"""Servers of our own for the tests that need one: an endpoint that answers, a Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.fault_server import FaultServer
from tests.gateway.redis_server import RedisServer, installed


@pytest.fixture
def good() -> Iterator[FaultServer]:
    with FaultServer(model="good") as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    if not installed():
        pytest.skip("!!! REDIS IS NOT TESTED: there is no redis-server; apt-get install redis-server")
    with RedisServer() as server:
        yield server
