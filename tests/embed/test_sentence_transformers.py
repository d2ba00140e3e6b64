"""The local model: unit vectors, nothing cut silently, the publisher's results."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from ragkit.config.schema import Embedding
from ragkit.embed import make_embedder, make_token_counter
from ragkit.embed.sentence_transformers import LocalEmbedder
from ragkit.errors import ConfigError, ModelError

LONG = "한국 " * 100
"""200 characters and 600 tokens: Hangul is taken apart."""


@pytest.mark.parametrize("text", ["word " * 255, LONG])
def test_a_passage_beyond_the_window_is_refused_before_anything_loads(text: str) -> None:
    with pytest.raises(ModelError, match=r"a passage of \d+ tokens does not fit the model, which reads 254"):
        LocalEmbedder(Embedding()).embed_passages(["short", text])


def test_a_prefix_counts_towards_the_window() -> None:
    embedder = LocalEmbedder(Embedding(passage_prefix="passage: "))
    with pytest.raises(ModelError, match="a passage of 256 tokens"):
        embedder.embed_passages(["word " * 254])


def test_no_texts_have_no_vectors() -> None:
    assert len(LocalEmbedder(Embedding()).embed_passages([])) == 0


@pytest.fixture(scope="module")
def embedder() -> LocalEmbedder:
    made = make_embedder(Embedding(device="cpu"))
    assert isinstance(made, LocalEmbedder)
    return made


@pytest.mark.integration
class TestModel:
    def test_vectors_are_of_unit_length_and_one_a_text(self, embedder: LocalEmbedder) -> None:
        vectors = embedder.embed_passages(["The battery lasts.", "", "x " * 250, "👩‍👩‍👧‍👦"])
        assert vectors.shape == (4, 384)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)

    def test_a_text_has_the_same_vector_in_any_company(self, embedder: LocalEmbedder) -> None:
        alone = embedder.embed_passages(["The battery lasts."])[0]
        among = embedder.embed_passages(["word " * 200, "The battery lasts.", "x"])[1]
        np.testing.assert_allclose(alone, among, atol=1e-5)

    def test_a_question_is_near_its_answer(self, embedder: LocalEmbedder) -> None:
        question = embedder.embed_question("How long does the battery run?")
        near, far = embedder.embed_passages(["The battery lasts ten hours.", "The invoice is due in May."])
        assert float(question @ near) > float(question @ far) + 0.3

    def test_many_questions_are_the_same_as_each(self, embedder: LocalEmbedder) -> None:
        questions = ["How long?", "Where is the hub?"]
        together = embedder.embed_questions(questions)
        np.testing.assert_allclose(together, [embedder.embed_question(text) for text in questions], atol=1e-5)

    def test_a_passage_that_fills_the_window_is_read_to_its_end(self, embedder: LocalEmbedder) -> None:
        tokens = make_token_counter(Embedding())
        full = "word " * 253 + "battery"
        assert tokens.count(full) + tokens.special_tokens == tokens.window
        other = "word " * 253 + "pump"
        assert not np.allclose(*embedder.embed_passages([full, other]), atol=1e-4)

    def test_a_question_beyond_the_window_keeps_its_beginning(self, embedder: LocalEmbedder) -> None:
        beginning = "word " * 254
        np.testing.assert_allclose(
            embedder.embed_question(beginning + "battery"), embedder.embed_question(beginning), atol=1e-5
        )

    def test_prefixes_are_put_before_passages_and_questions(self, embedder: LocalEmbedder) -> None:
        prefixed = LocalEmbedder(Embedding(device="cpu", passage_prefix="passage: ", query_prefix="query: "))
        np.testing.assert_allclose(
            prefixed.embed_passages(["hub"])[0], embedder.embed_passages(["passage: hub"])[0], atol=1e-5
        )
        np.testing.assert_allclose(prefixed.embed_question("hub"), embedder.embed_question("query: hub"), atol=1e-5)

    def test_leading_dimensions_are_kept_and_unit_again(self) -> None:
        vectors = LocalEmbedder(Embedding(device="cpu", dimensions=64)).embed_passages(["The battery lasts."])
        assert vectors.shape == (1, 64)
        assert float(np.linalg.norm(vectors)) == pytest.approx(1, abs=1e-5)

    def test_more_dimensions_than_there_are_is_an_error(self) -> None:
        with pytest.raises(ConfigError, match=r"dimensions is 500, but all-MiniLM-L6-v2 has 384"):
            LocalEmbedder(Embedding(device="cpu", dimensions=500)).embed_passages(["x"])

    def test_threads_may_share_it(self) -> None:
        embedder = LocalEmbedder(Embedding(device="cpu"))
        results: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []
        threads = [threading.Thread(target=lambda: results.append(embedder.embed_question("hub"))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 4
        for vector in results:
            np.testing.assert_allclose(vector, results[0], atol=1e-6)
