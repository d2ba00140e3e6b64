"""A Redis of our own for the tests that need one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.redis_server import RedisServer, installed


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    if not installed():
        pytest.skip("!!! REDIS IS NOT TESTED: there is no redis-server; apt-get install redis-server")
    with RedisServer() as server:
        yield server
