"""The handbook indexed once, through the embedding service of words that the tests of commands use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ragkit import Ragkit
from ragkit.config.schema import Config
from tests.cli.conftest import embedding_url as embedding_url
from tests.train.handbook import write_handbook


def config_of(folder: Path, url: str) -> Config:
    return Config.model_validate(
        {
            "ingestion": {
                "parsing": {"workers": 1},
                "chunking": {"strategy": "recursive", "chunk_size": 64, "overlap": 0},
                "embedding": {"backend": "openai", "model": "words", "base_url": url},
                "store": {"path": str(folder / "index")},
            },
            "serve": {"folder": str(folder / "serve")},
        }
    )


@pytest.fixture(scope="session")
def handbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `docs/` and `questions.jsonl`: 24 names, two rules each."""
    return write_handbook(tmp_path_factory.mktemp("handbook"), 24)


@pytest.fixture(scope="session")
def rag(handbook: Path, embedding_url: str) -> Iterator[Ragkit]:
    with Ragkit(config_of(handbook, embedding_url)) as made:
        made.index([handbook / "docs"])
        yield made
