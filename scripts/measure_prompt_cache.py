"""How much of the prompts a server has read before, if it keeps their beginnings: by the order of the documents.

    python scripts/measure_prompt_cache.py SUITE -c CONFIG [--chunks 3 5]

Each question of SUITE (`ragkit eval run`) is asked once; its prompt is written as `generation.order` says, and as much
of its beginning counts as read as some prompt before it began with, in blocks of 64 characters (vLLM's blocks are 16
tokens). Nothing is ever thrown out, which is the most that a cache can do; which question comes first is all the same.
No model is asked. "One marker" is how it was when all documents of a prompt had the same fence.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

from measure_packing import Found, found_for
from rich.console import Console
from rich.table import Table

from ragkit.config.schema import Generation
from ragkit.embed.openai_tokens import count_tokens
from ragkit.generate.packing import packed_for
from ragkit.generate.prompt import build_messages, render_blocks
from ragkit.ingest.sentences import split_sentences

BLOCK = 64


def prompts(found: Found, order: str, chunks: int, *, one_marker: bool = False) -> list[str]:
    """The prompts; with `one_marker` a hash of all documents stands before them, as it did when they shared one."""
    config = Generation.model_validate({"order": order, "context_chunks": chunks})
    written: list[str] = []
    for case, passages in found:
        packed = packed_for(case.question, passages, config, config.context_tokens, count_tokens, split_sentences)
        system, user = build_messages(config, case.question, packed.chunks)
        blocks = render_blocks(packed.chunks, config.citations)
        marker = f"The marker is {hashlib.sha256(blocks.encode()).hexdigest()[:16]}.\n\n" if one_marker else ""
        written.append(f"{system['content']}\n{user['content'].replace(blocks, marker + blocks, 1)}")
    return written


def known(texts: Sequence[str]) -> float:
    """The share of the characters that stand in a beginning which was read before."""
    seen: set[int] = set()
    read = 0
    for text in texts:
        length = 0
        while length + BLOCK <= len(text) and hash(text[: length + BLOCK]) in seen:
            length += BLOCK
        read += length
        seen.update(hash(text[:end]) for end in range(BLOCK, len(text) + 1, BLOCK))
    return read / sum(map(len, texts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=Path)
    parser.add_argument("-c", "--config", type=Path, required=True)
    parser.add_argument("--part", choices=("tuning", "test"), default="test")
    parser.add_argument("--chunks", type=int, nargs="+", default=(3, 5))
    args = parser.parse_args()
    found = found_for(args.suite, args.config, args.part)
    table = Table(title=f"{len(found)} questions, share of the characters of prompts known")
    ways = [(order, one_marker) for one_marker in (True, False) for order in ("rank", "document")]
    for heading in ("passages", *(f"{order}, {'one marker' if one else 'own'}" for order, one in ways)):
        table.add_column(heading, justify="right")
    for chunks in args.chunks:
        shares = [known(prompts(found, order, chunks, one_marker=one)) for order, one in ways]
        table.add_row(str(chunks), *(f"{share:.3f}" for share in shares))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
