"""Sparse vectors by a model of sentence-transformers' SparseEncoder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ragkit.config.schema import Config, Embedding, Ingestion, Retrieval
from ragkit.embed.models import model_folder
from ragkit.embed.splade import SpladeEncoder, make_splade, splade_folder
from ragkit.errors import ModelError
from tests.embed.splade_model import WORDS, make_splade_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_splade_model(tmp_path_factory.mktemp("splade") / "model")


@pytest.fixture(scope="module")
def encoder(folder: Path) -> SpladeEncoder:
    return SpladeEncoder(str(folder), "cpu")


def weights(row: np.ndarray) -> dict[str, float]:
    return {WORDS[int(token) - 5]: weight for token, weight in row.T.tolist()}


def test_a_text_weighs_its_words_and_those_that_mean_the_same(encoder: SpladeEncoder) -> None:
    plain, like, nothing = encoder.embed_passages(["Amber hub.", "the pump", "of the"])

    assert set(weights(plain)) == {"amber", "hub"}
    assert set(weights(like)) == {"pump", "valve"}
    assert weights(like)["pump"] > weights(like)["valve"] > 0
    assert nothing.shape == (2, 0)


def test_a_text_alone_has_the_vector_that_it_has_among_others(encoder: SpladeEncoder) -> None:
    texts = ["amber", "battery pump hours", "", "sensor valve sensor"]

    together = encoder.embed_passages(texts)

    for text, row in zip(texts, together, strict=True):
        alone = encoder.embed_passages([text])[0]
        np.testing.assert_array_equal(alone[0], row[0])
        np.testing.assert_allclose(alone[1], row[1], rtol=1e-4)
        np.testing.assert_allclose(encoder.embed_question(text), alone, rtol=1e-4)
    assert encoder.embed_passages([]) == []


def test_a_passage_that_is_too_long_is_an_error_and_a_question_is_cut(encoder: SpladeEncoder) -> None:
    fits = "amber " * 126
    assert encoder.embed_passages([fits])[0].shape == (2, 1)
    with pytest.raises(ModelError, match=r"129 tokens does not fit .* reads 128.*chunk_size"):
        encoder.embed_passages(["amber " * 127])
    assert set(weights(encoder.embed_question("amber " * 127 + "pump"))) == {"amber"}


def test_a_model_of_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a model for embedding, not for sparse"):
        splade_folder("all-MiniLM-L6-v2")
    with pytest.raises(ModelError, match="is a model for embedding, not for sparse"):
        splade_folder(str(model_folder("all-MiniLM-L6-v2")))
    with pytest.raises(ModelError, match="there is no model at"):
        splade_folder(str(tmp_path / "nowhere"))


def test_a_folder_that_cannot_be_loaded_is_named(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("modules.json", "config.json"):
        (broken / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(ModelError, match=f"cannot load the sparse model at {broken}"):
        SpladeEncoder(str(broken)).embed_question("amber")


def test_one_model_serves_all_that_ask_for_it(folder: Path) -> None:
    config = Config(
        ingestion=Ingestion(embedding=Embedding(device="cpu")),
        retrieval=Retrieval(sparse="both", splade_model=str(folder)),
    )

    assert make_splade(config) is make_splade(config.model_copy())
    assert make_splade(Config()) is None


def test_bm25_alone_loads_no_model_library() -> None:
    code = (
        "import sys; from ragkit.config.schema import Config; import ragkit.store.open, ragkit.ingest.index;"
        "from ragkit.embed.splade import make_splade; assert make_splade(Config()) is None;"
        "print(sorted({'torch', 'sentence_transformers', 'transformers'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
