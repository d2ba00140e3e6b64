"""Token counts that are the embedding model's own."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.config.schema import Embedding
from ragkit.embed import make_token_counter
from ragkit.embed.models import model_folder
from ragkit.embed.tokens import ModelTokens, TokenCounter, tokens_between

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=80)


@cache
def counter(backend: str) -> TokenCounter:
    if backend == "openai":
        return make_token_counter(Embedding(backend="openai", model="text-embedding-3-small"))
    return make_token_counter(Embedding())


@pytest.mark.parametrize("backend", ["local", "openai"])
@given(text=TEXT)
def test_each_token_has_a_start_and_starts_ascend(backend: str, text: str) -> None:
    starts = counter(backend).starts(text)
    assert len(starts) == counter(backend).count(text)
    assert all(0 <= start < len(text) for start in starts)
    assert all(before <= after for before, after in pairwise(starts))


@given(left=TEXT, right=TEXT)
def test_words_count_the_same_alone_and_together(left: str, right: str) -> None:
    """So that chunks can be counted from the starts of the whole text."""
    counted = counter("local")
    assert counted.count(f"{left} {right}") == counted.count(left) + counted.count(right)


@pytest.mark.parametrize(
    ("backend", "text", "count"),
    [
        ("local", "", 0),
        ("local", "the battery lasts ten hours.", 6),
        ("local", "The Battery LASTS ten hours.", 6),
        ("local", "x" * 101, 1),  # one [UNK]
        ("local", "한", 3),  # taken apart into three letters
        ("openai", "", 0),
        ("openai", "Citations are checked.", 5),
        ("openai", "<|endoftext|>", 7),  # as plain text, never as the special token
    ],
)
def test_counts(backend: str, text: str, count: int) -> None:
    assert counter(backend).count(text) == count


def test_windows() -> None:
    assert (counter("local").window, counter("local").special_tokens) == (256, 2)
    assert (counter("openai").window, counter("openai").special_tokens) == (8191, 0)
    assert make_token_counter(Embedding(max_tokens=128)).window == 128
    assert make_token_counter(Embedding(backend="openai", model="m", max_tokens=512)).window == 512


@given(text=TEXT, data=st.data())
def test_tokens_between_counts_the_starts_within(text: str, data: st.DataObject) -> None:
    starts = counter("local").starts(text)
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, len(text)))
    assert tokens_between(starts, begin, end) == sum(1 for start in starts if begin <= start < end)


def test_ids_leave_out_the_special_tokens_and_are_never_cut() -> None:
    tokens = ModelTokens(model_folder("all-MiniLM-L6-v2"), 256)
    short, empty, long = tokens.ids(["the battery", "", "word " * 1000])
    assert (len(short), len(empty), len(long)) == (2, 0, 1000)
    assert not {101, 102} & {*short, *long}
