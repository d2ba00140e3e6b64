"""Count tokens exactly as the embedding model will, without loading the model.

A counter is asked once for a whole text and then answers for every range of it, so that chunking costs one pass.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

from ragkit.errors import ModelError


class TokenCounter(Protocol):
    """The embedding model's own tokenizer."""

    window: int
    """Longest input of the model, special tokens included."""
    special_tokens: int
    """Tokens that the model adds to each text."""

    def starts(self, text: str) -> Sequence[int]:
        """The character offset at which each token of `text` begins, ascending."""
        ...

    def count(self, text: str) -> int:
        """Number of tokens of `text`, special tokens not counted."""
        ...

    def counts(self, texts: Sequence[str]) -> list[int]:
        """`count` of each text."""
        ...


def tokens_between(starts: Sequence[int], begin: int, end: int) -> int:
    """How many tokens begin in [begin, end).

    >>> tokens_between([0, 4, 8, 8, 12], 4, 12)
    3
    """
    return bisect_left(starts, end) - bisect_left(starts, begin)


class ModelTokens:
    """Tokens of a Hugging Face `tokenizer.json`."""

    def __init__(self, folder: Path, window: int) -> None:
        self._tokenizer = _tokenizer(folder)
        self.window = window
        self.special_tokens = self._tokenizer.num_special_tokens_to_add(is_pair=False)

    def starts(self, text: str) -> Sequence[int]:
        return [start for start, _ in self._tokenizer.encode(text, add_special_tokens=False).offsets]

    def count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def counts(self, texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in self.ids(texts)]

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


class TiktokenTokens:
    """Tokens of OpenAI's embedding models (cl100k_base, offline)."""

    special_tokens = 0

    def __init__(self, window: int = 8191) -> None:
        from ragkit.embed.openai_tokens import offline_encoding

        self._encoding = offline_encoding()
        self.window = window

    def starts(self, text: str) -> Sequence[int]:
        tokens = self._encoding.encode_ordinary(text)
        return self._encoding.decode_with_offsets(tokens)[1]

    def count(self, text: str) -> int:
        return len(self._encoding.encode_ordinary(text))

    def counts(self, texts: Sequence[str]) -> list[int]:
        return [len(tokens) for tokens in self._encoding.encode_ordinary_batch(list(texts), num_threads=1)]


@cache
def _tokenizer(folder: Path):
    return read_tokenizer(folder)


def read_tokenizer(folder: Path):
    """A tokenizer that neither cuts nor fills up, for its caller alone. Raises ModelError for an unreadable file."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # tokenizers raises bare Exception
        raise ModelError(f"cannot read {folder / 'tokenizer.json'}: {error}", mend="get the model anew") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
