"""A model service for all tests of the server, and systems over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.serve.serving import KETTLE, LAMP, app_client, config_in, service, upload


@pytest.fixture(scope="session")
def model_url() -> Iterator[str]:
    with service() as (url, _):
        yield url


@pytest.fixture
def client(tmp_path: Path, model_url: str) -> Iterator[TestClient]:
    """An empty system without keys, called from this machine."""
    with app_client(config_in(tmp_path, model_url)) as opened:
        yield opened


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, model_url: str) -> Iterator[TestClient]:
    """A system without keys that holds a kettle and a lamp; tests leave it as it is."""
    with app_client(config_in(tmp_path_factory.mktemp("filled"), model_url)) as opened:
        assert upload(opened, "kettle.md", KETTLE)["state"] == "done"
        assert upload(opened, "lamp.md", LAMP)["state"] == "done"
        yield opened
