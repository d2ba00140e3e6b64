"""The texts that benchmarks read: the data beside the repository, or (in quick runs without it) eval/samples."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from eval.bench.spec import MODEL, ROOT, WORK, Skipped

TOKENS = 200
"""Most tokens of a chunk, for all contenders."""


def data() -> Path:
    """The folder of the data sets: $RAGKIT_BENCH_DATA, else ../shared/data. Raises Skipped without it."""
    folder = Path(os.environ.get("RAGKIT_BENCH_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        raise Skipped(f"no data sets: {folder} is not there (RAGKIT_BENCH_DATA names another folder)")
    return folder


def has_data() -> bool:
    try:
        return data().is_dir()
    except Skipped:
        return False


def model() -> Path:
    """The folder of the embedding model that everybody reads."""
    from ragkit.embed.models import model_folder

    return model_folder(MODEL)


def size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def rows_of(path: Path) -> list[dict[str, Any]]:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def peps(every: int = 1) -> list[Path]:
    """The Python Enhancement Proposals, or each so many-th of them; without the data the texts of eval/samples."""
    folder = data() / "peps" if has_data() else ROOT / "eval" / "samples"
    return sorted(path for path in folder.rglob("*") if path.suffix in (".rst", ".md", ".txt"))[::every]


def filings() -> list[Path]:
    return sorted((data() / "pdf").glob("*.pdf"))


def chunk_rows(count: int) -> Path:
    """A JSON-lines file of so many chunks, no two the same: paragraphs of XQuAD-en, then PEPs, papers of COVID-QA and
    medical answers, cut at whole sentences to at most `TOKENS` tokens. Kept between runs."""
    path = WORK / "data" / f"chunks-{count}{'' if has_data() else '-samples'}.jsonl"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    beside = path.with_suffix(".part")
    with beside.open("w", encoding="utf-8") as file:
        seen: set[str] = set()
        for text in _chunks(_texts()):
            if written == count:
                break
            if text not in seen:
                seen.add(text)
                file.write(json.dumps({"_id": f"c{written}", "text": text}) + "\n")
                written += 1
    if written < count:
        raise Skipped(f"the texts that are here make only {written} chunks, not {count}")
    beside.rename(path)
    return path


def chunk_texts(path: Path) -> list[str]:
    return [row["text"] for row in rows_of(path)]


def _texts() -> Iterator[str]:
    if not has_data():
        yield from (path.read_text(encoding="utf-8") for path in peps())
        return
    yield from (row["text"] for row in rows_of(data() / "xquad-en" / "corpus.jsonl"))
    yield from (path.read_text(encoding="utf-8") for path in peps())
    papers = json.loads((data() / "covid-qa" / "covidQA.json").read_text(encoding="utf-8"))["data"]
    yield from (paragraph["context"] for paper in papers for paragraph in paper["paragraphs"])
    yield from (row["passage"] for row in rows_of(data() / "train" / "medquad.jsonl.gz"))


def _chunks(texts: Iterable[str]) -> Iterator[str]:
    from ragkit import Config, Document
    from ragkit.ingest.chunk import chunk_document
    from ragkit.ingest.settings import token_counter_of

    config = Config.model_validate({"ingestion": {"chunking": chunking("recursive")}})
    counter = token_counter_of(config)
    for number, text in enumerate(texts):
        document = Document(id=str(number), text=text, source=f"{number}.txt", title="", content_hash="", media_type="")
        # A text that would be stripped when it is read again would be another one there.
        yield from (chunk.text for chunk in chunk_document(document, config.ingestion.chunking, counter))


def chunking(strategy: str, tokens: int = TOKENS) -> dict[str, Any]:
    """Settings under which a chunk is the text alone, as the other contenders have it."""
    return {"strategy": strategy, "chunk_size": tokens, "overlap": 0, "contextual_header": False}
