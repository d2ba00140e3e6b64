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
    from tests.postgres_server import PostgresServer, programs

    found = programs()
    if found is None:
        pytest.skip(
            "!!! POSTGRESQL IS NOT TESTED: there is no server; apt-get install postgresql, or set RAGKIT_POSTGRES to"
            " the folder of its initdb and pg_ctl"
        )
    with PostgresServer(found) as server:
        yield server
