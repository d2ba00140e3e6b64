"""Train an embedding model on the user's own index, and say whether it helps there; the same steps as for a reranker.

questions - part by document - mine wrong passages - train - embed all chunks anew - compare - helps?

Base and tuned model are compared over the same chunks by exact search in memory, through the fusion of the config. A
tuned model makes the index useless that the base made: its chunks have to be embedded anew.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ragkit.config.edit import Scalar
from ragkit.config.keys import KeyPath
from ragkit.config.schema import Embedding, Filter
from ragkit.embed import Embedder, make_embedder
from ragkit.errors import ModelError, RagkitError
from ragkit.store import Hit, StoreReader, WeightedTerms
from ragkit.train.bi_encoder import Pace, Pairs, train_pairs, true_negatives
from ragkit.train.compared import Gain, Searched, gain, known_questions, values
from ragkit.train.course import (
    PASSES,
    SAVE_EVERY_S,
    Steps,
    Told,
    card_rows,
    check_packages,
    in_time,
    listed,
    outcome,
    planned,
    time_to_train,
    trained_in_words,
)
from ragkit.train.folder import RunFolder, card, read_facts
from ragkit.train.passages import Made, mined_sets, vectors_of
from ragkit.train.questions import Asked, Parts

if TYPE_CHECKING:
    from ragkit.system import Ragkit

DEPTH = 10
_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class EmbedderSettings:
    """How to train; as `RerankerSettings` where the names are the same."""

    steps: int | None = None
    minutes: float = 20.0
    sentences: int = 0
    headings: int = 0
    batch: int = 16
    rate: float = 2e-5
    seed: int = 0


@dataclass(slots=True)
class Tuned:
    """A tuned embedding model, what it adds over the one that the index was made with, and what its use takes."""

    folder: RunFolder
    gains: list[Gain]
    synthetic: bool
    chunks: int
    embedding_s: float
    """How long all chunks took to embed here: about what the new index will."""
    changes: dict[KeyPath, Scalar] = field(default_factory=dict[KeyPath, Scalar])

    @property
    def helps(self) -> bool:
        return all(each.shown for each in self.gains)


class ExactStore:
    """A store whose dense search is exact, over other vectors of the same chunks; all else is the store's."""

    def __init__(self, store: StoreReader, ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
        self._store, self._ids, self._matrix = store, list(ids), vectors
        self._rows = {chunk_id: row for row, chunk_id in enumerate(self._ids)}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def search(
        self,
        limit: int,
        vector: NDArray[np.float32] | None = None,
        text: str | WeightedTerms | None = None,
        filters: Sequence[Filter] = (),
    ) -> tuple[list[Hit], list[Hit]]:
        """As every store's."""
        from ragkit.store.filters import fields_of, matches

        sparse = self._store.search(limit, text=text, filters=filters)[1] if text is not None else []
        if vector is None:
            return [], sparse
        scores = self._matrix @ vector
        order: list[int] = np.argsort(-scores, kind="stable").tolist()
        if filters:
            chunks = self._store.chunks(self._ids)
            fields = {chunk_id: fields_of(chunk) for chunk_id, chunk in chunks.items()}
            order = [n for n in order if all(matches(each, fields[self._ids[n]]) for each in filters)]
        return [Hit(self._ids[n], float(scores[n])) for n in order[:limit]], sparse

    def vectors(self, chunk_ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """As every store's."""
        return {each: self._matrix[self._rows[each]] for each in chunk_ids if each in self._rows}

    def vectors_of(self, document_id: str) -> dict[str, NDArray[np.float32]]:
        """As every store's."""
        return self.vectors([chunk.id for chunk in self._store.chunks_of(document_id)])


def check_trainable(embedding: Embedding) -> None:
    """Raise ModelError unless the config's embedding model runs in this process."""
    if embedding.backend != "sentence_transformers":
        raise ModelError(
            f"{embedding.model} runs behind a server, and cannot be trained from here",
            mend="set ingestion.embedding.backend to sentence_transformers and a model of: ragkit models list",
        )


def check_embedder_packages() -> None:
    """Raise MissingExtra for a package that is not installed."""
    check_packages("torch", "sentence_transformers", extra="local")


def train_embedder(
    rag: Ragkit,
    asked: Asked,
    parts: Parts,
    settings: EmbedderSettings,
    folder: RunFolder,
    told: Told,
    progress: Steps | None = None,
    save_every_s: float = SAVE_EVERY_S,
) -> Tuned:
    """Train and compare; the model is in `folder` afterwards. Neither config nor index is changed here.

    A run that was killed goes on where its last checkpoint was (one every `save_every_s` seconds). Raises RagkitError
    without questions to train on, ModelError for a model behind a server, MissingExtra without sentence-transformers.
    """
    embedding = rag.config.ingestion.embedding
    check_trainable(embedding)
    check_embedder_packages()
    facts: dict[str, Any] = {"settings": asdict(settings), "questions": asked.counts, "base": embedding.model}
    if folder.finished:
        facts = read_facts(folder.path)
        told("training", f"{folder.path} was trained before")
        model = folder.path
    else:
        model, trained = _trained(rag, parts, settings, folder, told, progress, save_every_s)
        facts |= trained
    result = _measured(rag, parts, model, folder, settings.seed, told)
    facts |= {"synthetic_test": result.synthetic, "gains": [each.as_dict() for each in result.gains]}
    said = card("Embedding model", _says(result), card_rows(facts))
    if folder.finished:
        folder.describe(facts, said)
    else:
        folder.publish(model, facts, said)
    return result


def _trained(
    rag: Ragkit,
    parts: Parts,
    settings: EmbedderSettings,
    folder: RunFolder,
    told: Told,
    progress: Steps | None,
    save_every_s: float,
) -> tuple[Path, dict[str, Any]]:
    pairs, counts = _pairs(rag, parts, settings, told)
    model = _load(rag.config.ingestion.embedding)
    plan = planned(
        folder,
        settings.steps,
        settings.minutes,
        PASSES * len(pairs.questions) / settings.batch,
        lambda: _seconds_of_a_step(model, pairs, settings),
        told,
    )
    chunks = rag.snapshot().store.count()
    forward_s = plan["seconds_a_step"] / (3 * settings.batch) / 3  # three texts a question; of three passes one
    embedding = f"about {in_time(chunks * forward_s)} to embed {chunks:,} chunks for the comparison"
    told("time", f"{time_to_train(plan, model.device.type)}, {embedding}")
    made, done = folder.work / "model", plan.get("done")
    if done is None or not (made / "modules.json").is_file():
        pace = Pace(plan["steps"], settings.batch, settings.rate, seed=settings.seed, save_every_s=save_every_s)
        done = train_pairs(model, pairs, pace, checkpoint=folder.checkpoint, progress=progress)
        model.save(str(made), create_model_card=False)
        folder.decide({**plan, "done": done})
    told("trained", trained_in_words(done))
    return made, {**done, "device": model.device.type, "trained_on": counts}


def _load(embedding: Embedding) -> Any:
    from ragkit.embed.models import model_folder
    from ragkit.errors import MissingExtra

    folder = model_folder(embedding.model)
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging
    except ImportError as error:
        raise MissingExtra("sentence_transformers", "local") from error
    transformers_logging.disable_progress_bar()
    return SentenceTransformer(str(folder), device=embedding.device, local_files_only=True)


def _pairs(rag: Ragkit, parts: Parts, settings: EmbedderSettings, told: Told) -> tuple[Pairs, dict[str, int]]:
    embedding = rag.config.ingestion.embedding
    made = Made(settings.sentences, settings.headings)
    _, mined = mined_sets(rag.snapshot().store, rag.embedder, parts, made, DEPTH, settings.seed)
    counts = {one.examples.name: len(one.examples.examples) for one in mined}
    questions: list[str] = []
    passages: list[str] = []
    wrong: list[list[str]] = []
    right_vectors: list[NDArray[np.float32]] = []
    left_out = 0
    for one in mined:
        texts = one.examples.passages
        for example, vector, pool in zip(one.examples.examples, one.questions, one.wrong, strict=True):
            right = one.passages[example.positive]
            kept = true_negatives([int(n) for n in pool], float(vector @ right), vector, one.passages, texts)
            left_out += int((pool >= 0).sum()) - len(kept)
            questions.append(embedding.query_prefix + example.question)
            passages.append(embedding.passage_prefix + texts[example.positive])
            wrong.append([embedding.passage_prefix + text for text in kept])
            right_vectors.append(right)
    if len(questions) < 2:
        raise RagkitError("there is one question to train on", mend="name a file (--questions), or add --synthetic 500")
    asked_vectors = np.concatenate([one.questions for one in mined])
    told("training on", f"{listed(counts)}; {left_out} mined passages left out that the base puts before the right one")
    return Pairs(questions, passages, wrong, asked_vectors, np.stack(right_vectors)), counts


def _seconds_of_a_step(model: Any, pairs: Pairs, settings: EmbedderSettings) -> float:
    """Measured on a copy of the model: two steps after one that warms up."""
    scratch = copy.deepcopy(model)
    train_pairs(scratch, pairs, Pace(1, settings.batch, settings.rate, seed=settings.seed))
    began = time.perf_counter()
    train_pairs(scratch, pairs, Pace(2, settings.batch, settings.rate, seed=settings.seed))
    return (time.perf_counter() - began) / 2


def _measured(rag: Ragkit, parts: Parts, model: Path, folder: RunFolder, seed: int, told: Told) -> Tuned:
    """The present model and the tuned one over the same chunks, each by exact search."""
    config, snapshot = rag.config, rag.snapshot()
    chunks = list(snapshot.store.iter_chunks())
    ids = [chunk.id for chunk in chunks]
    embedding = config.ingestion.embedding.model_copy(update={"model": str(model.absolute())})
    tuned = make_embedder(embedding)
    began = time.perf_counter()
    parted = (chunks[start : start + _AT_ONCE] for start in range(0, len(chunks), _AT_ONCE))
    rows = np.concatenate([tuned.embed_passages([chunk.indexed_text for chunk in part]) for part in parted])
    spent = time.perf_counter() - began
    told("embedded", f"{len(chunks):,} chunks anew in {in_time(spent)}")
    before, after = (
        values(parts.test, _searching(rag, parts, ids, vectors, embedder))
        for vectors, embedder in ((vectors_of(snapshot.store, ids), rag.embedder), (rows, tuned))
    )
    return Tuned(
        folder,
        [gain(f"the present model ({config.ingestion.embedding.model})", parts.test, before, after, seed)],
        all(each.case.synthetic for each in parts.test),
        len(chunks),
        spent,
        {("ingestion", "embedding", "model"): folder.reference, **_kept_prefixes(config.ingestion.embedding)},
    )


def _searching(
    rag: Ragkit, parts: Parts, ids: Sequence[str], vectors: NDArray[np.float32], embedder: Embedder
) -> Searched:
    known = known_questions(embedder, parts.test)
    store = cast("StoreReader", ExactStore(rag.snapshot().store, ids, vectors))
    return Searched(store, known, rag.config.retrieval, rag.reranker, rag.rewriter())


def _kept_prefixes(embedding: Embedding) -> dict[KeyPath, Scalar]:
    """The prefixes that the catalogue knows of the base by its name; under a path they must be written out."""
    prefixes = {"query_prefix": embedding.query_prefix, "passage_prefix": embedding.passage_prefix}
    return {("ingestion", "embedding", name): value for name, value in prefixes.items() if value}


def _says(result: Tuned) -> str:
    return f"An embedding model tuned on one index, for that index; its use takes a new index. {outcome(result.helps)}"
