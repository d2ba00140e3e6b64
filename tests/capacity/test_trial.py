"""Trials: chunks like the user's, searched by a process of their own, and growth that a line foretells."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from ragkit.capacity.plan import line_at
from ragkit.capacity.rates import measure
from ragkit.capacity.trial import grown, points
from ragkit.config.schema import Bm25, Config
from ragkit.errors import ConfigError
from ragkit.store.open import NoIndex
from ragkit.system import Ragkit
from ragkit.types import Chunk

SAMPLES = Path(__file__).parents[2] / "eval" / "samples"


def chunk(number: int, text: str) -> Chunk:
    return Chunk(str(number), "d", text, 0, len(text), len(text.split()), {"source_document": "d.md", "team": "blue"})


SAMPLE = [chunk(number, "pump valve hub " * (20 + number % 40) + f"rare{number}") for number in range(50)]


def test_chunks_are_as_long_with_the_same_words_and_fields() -> None:
    made = list(grown(SAMPLE, 400, first=100))
    assert len({each.id for each in made}) == 400
    lengths = {len(each.text.split()) for each in SAMPLE}
    assert {len(each.text.split()) for each in made} <= lengths
    words = Counter(word for each in made for word in each.text.split())
    assert words["pump"] == pytest.approx(words["valve"], rel=0.1)
    assert words["rare1"] < words["pump"] / 100
    assert made[0].metadata["team"] == "blue"
    assert made == list(grown(SAMPLE, 400, first=100))


@pytest.mark.integration
def test_growth_is_foretold(tmp_path: Path) -> None:
    *trials, real = points(SAMPLE, 64, Bm25(), tmp_path, (4000, 8000, 12_000, 24_000))
    assert [point.chunks for point in trials] == [4000, 8000, 12_000]
    assert all(point.search_s > 0 and point.write_s > 0 for point in trials)
    foretold = line_at([(point.chunks, point.disk_bytes) for point in trials], real.chunks)
    assert foretold == pytest.approx(real.disk_bytes, rel=0.3)


@pytest.mark.integration
def test_a_system_is_measured_on_its_own_index(tmp_path: Path) -> None:
    config = Config.model_validate(
        {
            "ingestion": {"store": {"path": str(tmp_path / "index")}, "embedding": {"device": "cpu"}},
            "costs": {"ledger": str(tmp_path / "ledger.sqlite")},
            "cache": {"mode": "exact", "path": str(tmp_path / "cache.sqlite")},
        }
    )
    with pytest.raises(NoIndex):
        measure(config, sizes=(200, 400))
    with Ragkit(config) as rag:
        rag.index(SAMPLES / "guides")
        documents = rag.snapshot().manifest.totals()[0]
    told: list[str] = []
    rates = measure(config, sizes=(200, 400), doing=told.append)
    assert (rates.documents, len(rates.points)) == (documents, 2)
    assert rates.manifest_bytes > 0
    assert not list(tmp_path.glob("*.sqlite"))
    assert rates.embed_s > 0
    assert rates.question_s["embed"] > 0
    assert rates.question_s["generate"] > 0
    assert told[0].startswith("models")


def test_a_server_is_not_measured() -> None:
    config = Config.model_validate({"ingestion": {"store": {"backend": "qdrant", "url": "http://127.0.0.1:1"}}})
    with pytest.raises(ConfigError, match="measured on the embedded store"):
        measure(config)
