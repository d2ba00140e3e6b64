"""How much of the prompts a server has read before, if it keeps their beginnings: by the order of the documents.

    python scripts/measure_prompt_cache.py SUITE -c CONFIG [--chunks 3 5]

Each question of SUITE (`ragkit eval run`) is asked once; its prompt is written as `generation.order` says, and as much
of its beginning counts as read as some prompt before it began with, in blocks of 64 characters (vLLM's blocks are 16
tokens). Nothing is ever thrown out, which is the most that a cache can do; which question comes first is all the same.
No model is asked.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from measure_packing import Found, found_for
from rich.console import Console
from rich.table import Table

from ragkit.config.schema import Generation
from ragkit.embed.openai_tokens import count_tokens
from ragkit.generate.packing import packed_for
from ragkit.generate.prompt import build_messages
from ragkit.ingest.sentences import split_sentences

BLOCK = 64


def prompts(found: Found, order: str, chunks: int) -> list[str]:
    config = Generation.model_validate({"order": order, "context_chunks": chunks})
    written: list[str] = []
    for case, passages in found:
        packed = packed_for(case.question, passages, config, config.context_tokens, count_tokens, split_sentences)
        written.append(
            "\n".join(message["content"] for message in build_messages(config, case.question, packed.chunks))
        )
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
    for heading in ("passages", "order: rank", "order: document"):
        table.add_column(heading, justify="right")
    for chunks in args.chunks:
        cells: list[str] = []
        for order in ("rank", "document"):
            written = prompts(found, order, chunks)
            cells.append(f"{known(written):.3f}")
        table.add_row(str(chunks), *cells)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
