"""The package ragas as a judge: Faithfulness, AnswerRelevancy, ContextPrecision, ContextRecall of its current API.

Any OpenAI-compatible server does. ragas asks several times for one score, and its prompts hold the documents' text as
it is: a document that gives orders may move these scores. Replies are asked for by JSON schema, where ragas itself asks
for some JSON; small models keep to the form only when they are held to it.
"""

from __future__ import annotations

import asyncio
import copy
import importlib.metadata
import logging
import math
import os
import threading
import warnings
import weakref
from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from typing import Any

from ragkit.config.schema import Embedding
from ragkit.embed import Embedder
from ragkit.errors import MissingExtra, ServiceError
from ragkit.evaluate.judges import Measure, asked, failures
from ragkit.evaluate.judges.chat import address_and_key
from ragkit.evaluate.judges.embedding import embedding_version
from ragkit.evaluate.judges.exhibit import Exhibit, version_of
from ragkit.evaluate.judges.settings import JudgeSettings
from ragkit.evaluate.record import Judgement
from ragkit.service import quoted, shown_url

_MAX_TOKENS = 4096  # with ragas's own 1024 a list of statements is cut off in the middle
_RETRIES = 1  # a reply that is not of the form is sent back to the model once
_REVISION = "1"  # of what is made of ragas's numbers
_TOLERANCE = 1e-6  # a cosine of equal vectors may come out above 1
_NOT_THIS_QUESTION = ("AuthenticationError", "PermissionDeniedError", "NotFoundError", "APIConnectionError")


class RagasJudge:
    """ragas's metrics by their own definitions; a number that is none, or lies outside 0 to 1, is a failed judgement.

    `faithfulness` and `answer_relevancy` need no label; `context_precision` and `context_recall` take the first
    labelled answer as ragas's reference. Answer relevancy below 0 (a cosine) counts as 0. Each metric fails by itself.
    """

    name = "ragas"

    def __init__(self, settings: JudgeSettings, embedding: Embedding, embedder: Embedder) -> None:
        try:
            installed = importlib.metadata.version("ragas")
        except importlib.metadata.PackageNotFoundError:
            raise MissingExtra("ragas", "ragas") from None
        every = {
            "faithfulness": Measure("ragas.faithfulness"),
            "answer_relevancy": Measure("ragas.answer_relevancy"),
            "context_precision": Measure("ragas.context_precision", needs_references=True),
            "context_recall": Measure("ragas.context_recall", needs_references=True),
        }
        self.measures = tuple(every[name] for name in settings.wanted)
        self._settings = settings
        self._max_tokens = settings.max_tokens or _MAX_TOKENS
        self._url, self._key = address_and_key(settings)
        self._embedder = embedder
        self.version = version_of(
            _REVISION,
            installed,
            settings.model_dump_json(include={"model", "base_url"}),
            str((self._max_tokens, _RETRIES)),
            embedding_version(embedding),
        )
        self._lock = threading.Lock()

    def judge(self, exhibit: Exhibit) -> Sequence[Judgement]:
        with self._lock:
            ragas = self._ragas
        judgements: list[Judgement] = []
        for measure in asked(self.measures, exhibit):
            if not exhibit.evidence and measure.name != "ragas.answer_relevancy":
                judgements.append(Judgement(judge=measure.name, score=0.0, reason="there is no evidence"))
                continue
            try:
                value, note = ragas.score(measure.name.removeprefix("ragas."), exhibit)
                judgements.append(Judgement(judge=measure.name, score=_share(value), reason=note))
            except Exception as error:  # ragas, instructor, openai and pydantic each raise their own
                self._raise_if_lasting(error)
                judgements += failures([measure], _why(error, self._settings.timeout_s, self._key))
        return judgements

    def _raise_if_lasting(self, error: BaseException) -> None:
        """Raise ServiceError for what would fail every question."""
        for each in _causes(error):
            kind = type(each).__name__
            if kind in _NOT_THIS_QUESTION:
                raise ServiceError(
                    f"ragas cannot ask {self._settings.model!r} at {shown_url(self._url)}: {kind}:"
                    f" {quoted(str(each), self._key)}",
                    mend="start the server, or mend the judge's model, base_url or api_key",
                ) from error

    @cached_property
    def _ragas(self) -> _Ragas:
        return _Ragas(self._settings, self._url, self._key, self._max_tokens, self._embedder)


class _Ragas:
    """ragas with its client.

    It is asyncio throughout, and a client belongs to the event loop that made its connections: that loop runs in one
    background thread, whoever asks.
    """

    def __init__(self, settings: JudgeSettings, url: str, key: str, max_tokens: int, embedder: Embedder) -> None:
        os.environ.setdefault("RAGAS_DO_NOT_TRACK", "true")  # it reports its use to its makers
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about packages that it imports
            # By name, for the extra may be missing where the types are checked.
            self._metrics = import_module("ragas.metrics.collections")
            llms, embeddings = import_module("ragas.llms"), import_module("ragas.embeddings.base")
            instructor, openai = import_module("instructor"), import_module("openai")
        logging.getLogger("instructor").setLevel(logging.CRITICAL)  # what it says of failures is in the judgements
        client = openai.AsyncOpenAI(base_url=url, api_key=key or "none", timeout=settings.timeout_s)
        options = {"temperature": 0.0, "max_tokens": max_tokens, "max_retries": _RETRIES}
        self._llm: Any = llms.llm_factory(settings.model or "", provider="openai", client=client, **options)
        self._asks_json_object = self._llm.client
        self._llm.client = instructor.from_openai(client, mode=instructor.Mode.JSON_SCHEMA)
        self._embeddings: Any = _embeddings(embeddings.BaseRagasEmbedding, embedder)
        self._timeout_s = settings.timeout_s
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="ragkit-ragas", daemon=True).start()
        self.close = weakref.finalize(self, self._loop.call_soon_threadsafe, self._loop.stop)

    def score(self, metric: str, exhibit: Exhibit) -> tuple[float, str]:
        """One metric's number, and what is to be said about it."""
        notes: list[str] = []

        def scored() -> float:
            limited = asyncio.wait_for(self._scored(metric, exhibit, notes), self._timeout_s)
            return asyncio.run_coroutine_threadsafe(limited, self._loop).result()

        try:
            value = scored()
        except Exception as error:
            if self._llm.client is self._asks_json_object or "json_object" not in str(_causes(error)[-1]):
                raise
            # llama-cpp-python's server has another name for the same; from now on it is asked by that.
            self._llm.client = self._asks_json_object
            value = scored()
        return value, "; ".join(notes)

    async def _scored(self, metric: str, exhibit: Exhibit, notes: list[str]) -> float:
        by_other_name = self._llm.client is self._asks_json_object
        llm, given = _watched(self._llm, notes, by_other_name), {"user_input": exhibit.question}
        contexts = list(exhibit.evidence)
        if metric == "faithfulness":
            scorer, given = self._metrics.Faithfulness(llm=llm), {**given, "response": exhibit.answer}
        elif metric == "answer_relevancy":
            scorer = self._metrics.AnswerRelevancy(llm=llm, embeddings=self._embeddings)
            return float((await scorer.ascore(**given, response=exhibit.answer)).value)
        else:
            kind = "ContextPrecision" if metric == "context_precision" else "ContextRecall"
            scorer, given = getattr(self._metrics, kind)(llm=llm), {**given, "reference": exhibit.references[0]}
        return float((await scorer.ascore(**given, retrieved_contexts=contexts)).value)


def _watched(llm: Any, notes: list[str], by_other_name: bool) -> Any:
    """The model, but for replies that ragas would turn into a number in silence.

    These are verdicts that are neither 0 nor 1, and no question where one was asked for, which ragas scores 0. Verdicts
    on fewer statements than there are become a note. `by_other_name` sends the schema as llama-cpp-python's server
    wants it.
    """
    watched, stated = copy.copy(llm), 0

    async def agenerate(prompt: str, response_model: Any) -> Any:
        nonlocal stated
        asking = copy.copy(llm)
        if by_other_name:
            form = {"type": "json_object", "schema": response_model.model_json_schema()}
            asking.model_args = {**llm.model_args, "extra_body": {"response_format": form}}
        reply = await asking.agenerate(prompt, response_model)
        said: dict[str, Any] = reply.model_dump()
        if not str(said.get("question", "?")).strip():
            raise ValueError("the model wrote no question")
        items: list[Any] = said.get("statements") or said.get("classifications") or []
        if items and isinstance(items[0], str):
            stated, items = len(items), []
        elif items and stated and len(items) != stated:
            notes.append(f"verdicts on {len(items)} of {stated} statements")
        for key in ("verdict", "attributed", "noncommittal"):
            odd = [each[key] for each in [said, *items] if each.get(key, 0) not in (0, 1)]
            if odd:
                raise ValueError(f"the model's {key} is {odd[0]}, neither 0 nor 1")
        return reply

    watched.agenerate = agenerate
    return watched


def _embeddings(base: Any, embedder: Embedder) -> Any:
    """The config's embedding model, as ragas takes one."""

    def embed_text(self: object, text: str, **kwargs: Any) -> list[float]:
        return embedder.embed_question(text).tolist()

    async def aembed_text(self: object, text: str, **kwargs: Any) -> list[float]:
        return await asyncio.to_thread(embed_text, self, text)

    return type("Embeddings", (base,), {"embed_text": embed_text, "aembed_text": aembed_text})()


def _share(value: float) -> float:
    if math.isnan(value):
        raise ValueError("ragas gave no number: the model's reply listed nothing")
    if value > 1.0 + _TOLERANCE:
        raise ValueError(f"ragas gave {value:g}, which is above 1")
    return min(1.0, max(0.0, value))


def _why(error: BaseException, timeout_s: float, key: str) -> str:
    """The cause of a failure, on one line."""
    chain = list(_causes(error))
    if any(isinstance(each, TimeoutError) or type(each).__name__ == "APITimeoutError" for each in chain):
        return f"no score within {timeout_s:g} s"
    if any(type(each).__name__ == "IncompleteOutputException" for each in chain):
        return "the reply was cut off: it reached the judge's max_tokens"
    return f"{type(chain[-1]).__name__}: {quoted(str(chain[-1]), key)}"


def _causes(error: BaseException) -> Sequence[BaseException]:
    """The error and what caused it, the first cause last; instructor keeps it among the arguments too."""
    chain = [error]
    while (inner := chain[-1].__cause__) is not None and inner not in chain:
        chain.append(inner)
    return chain
