"""Sentence vectors from the model's own word vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType] - stubs in part

from ragkit.embed.models import model_folder, model_window
from ragkit.embed.static import StaticSentenceEncoder, has_word_embeddings, word_embeddings
from ragkit.embed.tokens import ModelTokens
from ragkit.errors import ModelError

FOLDER = model_folder("all-MiniLM-L6-v2")
ENCODER = StaticSentenceEncoder(FOLDER, ModelTokens(FOLDER, model_window(FOLDER)))


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40), max_size=8))
def test_each_sentence_has_a_unit_vector_or_zeros_for_no_tokens(sentences: list[str]) -> None:
    vectors = ENCODER.encode(sentences)
    assert vectors.shape == (len(sentences), 384)
    for sentence, norm in zip(sentences, np.linalg.norm(vectors, axis=1), strict=True):
        expected = 1.0 if ENCODER.encode([sentence + " x"]).any() and vectors[sentences.index(sentence)].any() else 0.0
        assert norm == pytest.approx(expected, abs=1e-5)
        assert sentence.strip() or norm == 0


def test_a_sentence_has_the_same_vector_in_any_company() -> None:
    alone = ENCODER.encode(["The battery lasts."])[0]
    among = ENCODER.encode(["", "Other words here.", "The battery lasts."])[2]
    np.testing.assert_array_equal(alone, among)


def test_sentences_on_one_topic_are_nearer_than_on_two() -> None:
    soup, broth, bank = ENCODER.encode(
        ["Boil the soup with onions.", "Stir the broth and add carrots.", "The bank raised its interest rate."]
    )
    assert float(soup @ broth) > float(soup @ bank) + 0.1


def test_frequent_words_weigh_little() -> None:
    plain, padded, other = ENCODER.encode(["battery", "the battery of the", "the of a the"])
    assert float(plain @ padded) > 0.7
    assert float(plain @ padded) > float(padded @ other)


def test_weights_without_word_vectors_are_refused(tmp_path: Path) -> None:
    assert not has_word_embeddings(tmp_path)
    save_file({"layer.weight": np.zeros((2, 2), dtype=np.float32)}, str(tmp_path / "model.safetensors"))
    assert has_word_embeddings(tmp_path)
    with pytest.raises(ModelError, match=r"no table of word embeddings; set ingestion\.chunking\.strategy: recursive"):
        word_embeddings(tmp_path)
