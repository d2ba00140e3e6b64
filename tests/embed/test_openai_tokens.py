"""Token counts: real tiktoken, and never a network."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ragkit.embed.openai_tokens import count_tokens

# (text, tokens in cl100k_base), as OpenAI's own tokenizer page gives them.
KNOWN = [("", 0), ("hello world", 2), ("tiktoken is great!", 6), ("antidisestablishmentarianism", 6)]


@pytest.mark.parametrize(("text", "tokens"), KNOWN)
def test_counts_are_those_of_cl100k_base(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


def test_text_that_looks_like_a_special_token_is_plain_text() -> None:
    assert count_tokens("<|endoftext|>") > 1


def test_counting_never_opens_a_connection() -> None:
    """In a fresh process without tiktoken's cache: any attempt to connect ends it."""
    code = """
import socket, sys
def refuse(*args, **kwargs):
    sys.exit("a connection was opened")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from ragkit.embed.openai_tokens import count_tokens
print(count_tokens("hello world"))
"""
    environment = os.environ | {"TIKTOKEN_CACHE_DIR": "", "DATA_GYM_CACHE_DIR": ""}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (ran.stdout.strip(), ran.returncode) == ("2", 0), ran.stderr
