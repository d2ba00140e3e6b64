"""An index with SPLADE vectors: made, changed, refused and killed like one without, by a small real model."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ragkit.config.schema import Config
from ragkit.embed import Embedder
from ragkit.embed.splade import SpladeEncoder, make_splade
from ragkit.errors import IndexMismatch
from ragkit.ingest.delete import delete_documents
from ragkit.ingest.index import build_index
from ragkit.ingest.report import IndexReport
from ragkit.retrieve.retriever import Retrieved, retrieve
from ragkit.store.open import open_snapshot
from tests.embed.splade_model import make_splade_model
from tests.ingest.indexing import ReportedFault, write

if TYPE_CHECKING:
    from numpy.typing import NDArray

Read = dict[str, dict[int, float]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_splade_model(tmp_path_factory.mktemp("splade") / "model", window=256)


@pytest.fixture
def both(config: Config, model: Path) -> Config:
    return with_sparse(config, "both", str(model))


def with_sparse(config: Config, sparse: str, model: str) -> Config:
    retrieval = config.retrieval.model_copy(update={"sparse": sparse, "splade_model": model})
    return config.model_copy(update={"retrieval": retrieval})


def splade_of(config: Config) -> Read:
    """The SPLADE vector of each text in the index."""
    with closing(open_snapshot(config)) as snapshot:
        found: Read = {}
        for entry in snapshot.manifest.entries():
            vectors = snapshot.store.splade_of(entry.id)
            for chunk in snapshot.store.chunks_of(entry.id):
                row = vectors.get(chunk.id, np.zeros((2, 0), dtype=np.float32))
                found[chunk.indexed_text] = {int(token): round(weight, 4) for token, weight in row.T.tolist()}
        assert snapshot.store.count(vector="splade") == sum(1 for weights in found.values() if weights)
        return found


def expected(config: Config) -> Read:
    """What the model says of each text."""
    encoder, texts = make_splade(config), list(splade_of(config))
    assert encoder is not None
    rows = encoder.embed_passages(texts)
    return {
        text: {int(token): round(weight, 4) for token, weight in row.T.tolist()}
        for text, row in zip(texts, rows, strict=True)
    }


def asked(config: Config, embedder: Embedder, question: str) -> Retrieved:
    with closing(open_snapshot(config)) as snapshot:
        return retrieve(question, snapshot.store, embedder, config.retrieval)


class Counting:
    """Stands in `SpladeEncoder.embed_passages`' place, counts texts and fails after `most` of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int = 10_000) -> None:
        self.texts: list[str] = []
        real = SpladeEncoder.embed_passages

        def counted(encoder: SpladeEncoder, texts: Sequence[str]) -> list[NDArray[np.float32]]:
            if len(self.texts) + len(texts) > most:
                raise ReportedFault
            self.texts.extend(texts)
            return real(encoder, texts)

        monkeypatch.setattr(SpladeEncoder, "embed_passages", counted)


def test_every_chunk_gets_the_vector_that_the_model_gives_it(both: Config, docs: Path, embedder: Embedder) -> None:
    report = build_index(both, [docs], embedder=embedder)

    found = splade_of(both)
    assert len(found) == 12
    assert found == expected(both)
    assert all(found.values())
    assert report.seconds["splade"] > 0


def test_what_is_found_says_what_the_third_list_thought(both: Config, docs: Path, embedder: Embedder) -> None:
    build_index(both, [docs], embedder=embedder)

    found = asked(both, embedder, "Who looks after the pump?")

    best = found.results[0]
    assert "The pump" in best.chunk.text
    assert {"dense", "sparse", "splade", "fused"} <= best.stages.keys()
    assert set(found.ranked) == {"dense", "sparse", "splade", "fused"}
    assert "splade" in found.timings_ms
    # The model gives weight to "valve" where "pump" is asked for; BM25 cannot.
    valves = {chunk_id for chunk_id in found.ranked["splade"] if chunk_id not in found.ranked["sparse"]}
    assert valves

    alone = asked(with_sparse(both, "splade", both.retrieval.splade_model), embedder, "Who looks after the pump?")
    assert set(alone.ranked) == {"dense", "splade", "fused"}


def test_bm25_alone_is_as_it_was(config: Config, docs: Path, embedder: Embedder) -> None:
    report = build_index(config, [docs], embedder=embedder)
    found = asked(config, embedder, "Who looks after the pump?")

    assert set(found.ranked) == {"dense", "sparse", "fused"}
    assert "splade" not in found.timings_ms | report.seconds
    with closing(open_snapshot(config)) as snapshot:
        assert snapshot.store.count(vector="splade") == 0


def test_an_index_without_it_is_refused_and_a_rebuild_mends_that(
    config: Config, both: Config, docs: Path, embedder: Embedder
) -> None:
    build_index(config, [docs], embedder=embedder)

    said = r'retrieval\.sparse: "bm25" in the index, "splade or both" in the config.*ragkit index --rebuild'
    with pytest.raises(IndexMismatch, match=said):
        build_index(both, [docs], embedder=embedder)
    build_index(both, [docs], embedder=embedder, rebuild=True)
    assert splade_of(both) == expected(both)
    with pytest.raises(IndexMismatch, match=r'"splade or both" in the index, "bm25" in the config'):
        build_index(config, [docs], embedder=embedder)


def test_one_index_serves_splade_alone_and_both_but_no_other_model(
    both: Config, docs: Path, embedder: Embedder, tmp_path: Path
) -> None:
    build_index(both, [docs], embedder=embedder)

    report = build_index(with_sparse(both, "splade", both.retrieval.splade_model), [docs], embedder=embedder)
    assert report.unchanged == 4
    other = make_splade_model(tmp_path / "other", window=256)
    with pytest.raises(IndexMismatch, match=r"retrieval\.splade_model"):
        build_index(with_sparse(both, "both", str(other)), [docs], embedder=embedder)


def test_only_new_texts_go_through_the_model(
    both: Config, docs: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_index(both, [docs], embedder=embedder)
    counting = Counting(monkeypatch)
    write(docs / "a.md", "Manual a.md", "pump", "valve", "battery")
    (docs / "b.md").rename(docs / "moved.md")
    (docs / "c.md").unlink()

    build_index(both, [docs], embedder=embedder)

    assert ["battery" in text for text in counting.texts] == [True]
    monkeypatch.undo()
    assert splade_of(both) == expected(both)


def test_a_run_that_failed_goes_on_from_the_vectors_it_had(
    both: Config, docs: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragkit.ingest.embedding.SLICE", 5)
    with monkeypatch.context() as failing:
        Counting(failing, most=7)
        with pytest.raises(ReportedFault):
            build_index(both, [docs], embedder=embedder)
    with monkeypatch.context() as again:
        counting = Counting(again)
        build_index(both, [docs], embedder=embedder)
    assert len(counting.texts) == 7
    assert splade_of(both) == expected(both)
    assert not [*both.ingestion.store.path.glob("vectors.sqlite*")]


def test_deleted_documents_leave_no_vector(both: Config, docs: Path, embedder: Embedder) -> None:
    build_index(both, [docs], embedder=embedder)

    receipt = delete_documents(both, ["b.md"])

    assert dict(receipt.lines())["vectors"] == 0
    assert len(splade_of(both)) == 9


def index_it(config: Config, docs: Path) -> None:
    build_index(config, [docs])


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_an_indexer_that_is_killed_while_the_model_works_loses_nothing(
    both: Config, docs: Path, embedder: Embedder
) -> None:
    build_index(both, [docs], embedder=embedder)
    before = splade_of(both)
    for number in range(300):
        write(docs / f"more-{number}.md", f"More {number}", "hub", "port", "sensor")
    journal = both.ingestion.store.path / "vectors.sqlite.splade"
    process = multiprocessing.get_context("spawn").Process(target=index_it, args=(both, docs))
    process.start()
    deadline = time.monotonic() + 200
    while not rows(journal):
        assert process.is_alive(), "the indexer was done before it could be killed"
        assert time.monotonic() < deadline, "the indexer made no sparse vector"
        time.sleep(0.005)
    process.kill()
    process.join()

    assert splade_of(both) == before
    kept = rows(journal)
    assert kept
    report: IndexReport = build_index(both, [docs], embedder=embedder)
    assert report.new == 300
    assert splade_of(both) == expected(both)
    assert len(splade_of(both)) == 912


def rows(journal: Path) -> int:
    if not journal.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM vectors").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # not made yet
