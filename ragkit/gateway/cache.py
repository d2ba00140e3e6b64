"""Answers given again: found by their words, checked against the documents, made once for all who ask at once.

    with cache.asked(question, stages) as found:      # an Answer, or a Miss
        if not isinstance(found, Answer): found.answered(ask(question, found.stages))

The search of a miss is done before its answer is made, so that a document which comes between the two makes the entry
look older than it is, and never newer. A cache that cannot be read or written is told in the log and is a miss.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from ragkit.config.schema import Config, Filter
from ragkit.gateway.cache_bound import stopped, trusted
from ragkit.gateway.cache_entry import Entry, exact_key, scope_of
from ragkit.gateway.cache_evidence import (
    Found,
    changed,
    documents_of,
    evidence_of,
    follows_state,
    search_cheaply,
)
from ragkit.gateway.cache_flight import Flights, Outcome, await_, wait
from ragkit.gateway.cache_store import CacheFault, Hit, open_store
from ragkit.gateway.cost import cache_line, cost_lines
from ragkit.gateway.same_answer import same_answer
from ragkit.gateway.same_question import differences
from ragkit.observe.stages import Ended, Ranked, tell
from ragkit.observe.trace import trace_id
from ragkit.types import Answer, Cached, Usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.ask import Stages

T = TypeVar("T")
Doubt = Literal["doubted", "held"]
_CANDIDATES = 16
"""Nearest entries whose questions are read; near vectors are no proof, and a better one may stand behind."""
_log = logging.getLogger("ragkit.cache")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, under which conditions, for whom; `state` names the index as it was when the question came."""

    text: str
    filters: Sequence[Filter] = ()
    tenant: str = ""
    task: str | None = None
    state: str = ""


class Unanswered(Protocol):
    """A question whose answer is still to be made, with these stages; `answered` takes it back."""

    @property
    def stages(self) -> Stages: ...

    def answered(self, answer: Answer, *, as_configured: bool) -> Answer:
        """The answer as it is handed on; kept if it may be given again. `as_configured`: by the config's own model."""
        ...

    async def aanswered(self, answer: Answer, *, as_configured: bool) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Uncached:
    """Without a cache: nothing is kept."""

    stages: Stages

    def answered(self, answer: Answer, *, as_configured: bool) -> Answer:
        del as_configured
        return answer

    async def aanswered(self, answer: Answer, *, as_configured: bool) -> Answer:
        return self.answered(answer, as_configured=as_configured)


@dataclass(slots=True)
class Miss:
    """No entry answers; what was found out on the way is used again."""

    cache: AnswerCache
    question: Question
    scope: str
    stages: Stages
    vector: NDArray[np.float32] | None = None
    found: Found | None = None
    doubted: _Near | None = None
    """The nearest entry that asks the same and was not trusted with it."""
    ms: float = 0.0
    kept: bool = False

    def answered(self, answer: Answer, *, as_configured: bool) -> Answer:
        began = time.perf_counter()
        if as_configured and not answer.degraded:
            self.cache.compare(self, answer)
            self.kept = self.cache.keep(self, answer)
        self.ms += (time.perf_counter() - began) * 1e3
        tell(Ended("cache", self.ms))
        total = answer.timings_ms.get("total", 0.0) + self.ms
        return replace(
            answer,
            cache="miss",
            cost=(*answer.cost, cache_line(self.cache.config, self.ms, "miss")),
            timings_ms={**answer.timings_ms, "cache": self.ms, "total": total},
        )

    async def aanswered(self, answer: Answer, *, as_configured: bool) -> Answer:
        return await asyncio.to_thread(self.answered, answer, as_configured=as_configured)


@dataclass(frozen=True, slots=True)
class Verdict:
    """An entry beside a question: what speaks against serving it, nothing if it would be."""

    question: str
    tier: str
    similarity: float
    against: tuple[str, ...]


WHY = {
    "index_changed": "the index has changed since, and other wordings of a question are searched",
    "better_evidence": "a new or edited document comes far enough to be read",
    "evidence_changed": "a document that the answer rests on was edited or deleted",
    "doubted": "by what came of its hits, this entry is right too rarely at this similarity (cache.max_false_hits)",
    "held": "no answer is given again in other words: too many were wrong (cache.max_false_hits; ragkit cache report)",
}


class AnswerCache:
    """The cache of one system. Raises CacheFault if its file cannot be opened."""

    def __init__(self, config: Config, config_hash: str) -> None:
        from ragkit import __version__

        self.config = config
        self._hash = config_hash
        self._version = __version__
        self.store = open_store(config.cache)
        self._flights = Flights()
        self._failing = False
        self._patience_s = config.generation.timeout_s

    def close(self) -> None:
        self.store.close()

    @contextmanager
    def asked(self, question: Question, stages: Stages) -> Generator[Answer | Miss]:
        """An answer that is given again; else what takes the new one, while others with the same question wait."""
        until = time.monotonic() + self._patience_s
        found = self._look_up(question, stages)
        flight, missed = "", None
        while not isinstance(found, Answer):
            missed = found
            other = self._flights.join(key := _flight_of(found))
            if other is None:
                flight = key
                break
            if wait(other, until - time.monotonic()) == "failed":
                break
            found = self._look_up(question, stages, found)
        if not flight:
            yield found
            return
        outcome: Outcome = "left"
        try:
            # Whoever led before may have ended between the look at the store and `join`.
            found = self._look_up(question, stages, missed)
            yield found
            outcome = "done" if isinstance(found, Answer) or found.kept else "failed"
        except Exception:
            outcome = "failed"
            raise
        finally:
            self._flights.end(flight, outcome)

    @asynccontextmanager
    async def aasked(self, question: Question, stages: Stages) -> AsyncGenerator[Answer | Miss]:
        """`asked` for an event loop."""
        until = time.monotonic() + self._patience_s
        found = await asyncio.to_thread(self._look_up, question, stages)
        flight, missed = "", None
        while not isinstance(found, Answer):
            missed = found
            other = self._flights.join(key := _flight_of(found))
            if other is None:
                flight = key
                break
            if await await_(other, until - time.monotonic()) == "failed":
                break
            found = await asyncio.to_thread(self._look_up, question, stages, found)
        if not flight:
            yield found
            return
        outcome: Outcome = "left"
        try:
            found = await asyncio.to_thread(self._look_up, question, stages, missed)
            yield found
            outcome = "done" if isinstance(found, Answer) or found.kept else "failed"
        except Exception:
            outcome = "failed"
            raise
        finally:
            self._flights.end(flight, outcome)

    def explain(self, question: Question, stages: Stages) -> list[Verdict]:
        """The entries that come near a question, nearest first, with what speaks against each. Changes nothing."""
        look = _Look(question, self._scope(question), stages)
        verdicts: list[Verdict] = []
        for near in self._near(look):
            against = list(near.against)
            if not against:
                found = search_cheaply(near.entry.question, near.entry.vector, stages, question.filters)
                why = changed(near.entry, found, stages, question.state)
                against += [WHY[why]] if why else []
                against += [WHY[near.doubt]] if near.doubt else []
            verdicts.append(Verdict(near.entry.question, near.tier, near.similarity, tuple(against)))
        return verdicts

    def keep(self, miss: Miss, answer: Answer) -> bool:
        """Store an answer for whoever asks again; False if it cannot be."""
        return self._told(lambda: self._keep(miss, answer), False)

    def compare(self, miss: Miss, answer: Answer) -> None:
        """An entry was not trusted with a question, which was asked anew: whether it would have been right."""
        near = miss.doubted
        if near is None or not near.doubt:
            return
        right = same_answer(answer, near.entry.answer)
        asked = miss.question
        hit = replace(_taken(near.entry, asked, "", near.similarity), kind=near.doubt, right=right)
        self._told(lambda: self.store.note_hit(hit), None)

    def judge(self, tenant: str, trace_id: str, right: bool | None) -> int:
        """What people say of an answer, None if they took it back; the number of hits in other words that it was."""
        return self._told(lambda: self.store.judge(tenant, trace_id, right), 0)

    def _keep(self, miss: Miss, answer: Answer) -> bool:
        evidence = evidence_of(answer, miss.stages)
        if evidence is None or miss.found is None:
            return False
        if follows_state(self.config.retrieval) and not miss.question.state:
            return False
        seen = frozenset(evidence.values())
        known = [line.nano_usd for line in answer.cost]
        entry = Entry(
            question=miss.question.text,
            vector=miss.vector,
            answer=answer,
            evidence=evidence,
            known=miss.found.known() | seen,
            state=miss.question.state,
            nano_usd=None if None in known else sum(nano for nano in known if nano is not None),
            documents=documents_of(answer, miss.stages),
        )
        self.store.put(miss.scope, exact_key(miss.question.text), entry)
        return True

    def _look_up(self, question: Question, stages: Stages, before: Miss | None = None) -> Answer | Miss:
        """An entry that answers and holds; else a miss, which takes over what the look-up before had found out."""
        began = time.perf_counter()
        scope = self._scope(question)
        look = _Look(question, scope, stages, before.vector if before else None)
        hit = self._told(lambda: self._hit(look), None)
        if hit is not None:
            return self._given(hit, look, began)
        miss = before or Miss(self, question, scope, stages)
        miss.doubted = look.doubted
        if miss.found is None:
            by_meaning = stages.config.retrieval.strategy != "sparse" or self.config.cache.mode == "semantic"
            miss.vector = look.embed() if by_meaning else None
            miss.found = search_cheaply(question.text, miss.vector, stages, question.filters)
            self._told(lambda: self.store.count("misses"), None)
        miss.ms += (time.perf_counter() - began) * 1e3
        return miss

    def _scope(self, question: Question) -> str:
        return scope_of(self.config, self._hash, self._version, question.tenant, question.task, question.filters)

    def _hit(self, look: _Look) -> _Hit | None:
        """The first entry that asks the same and whose evidence is unchanged; one whose evidence changed is dropped."""
        for near in self._near(look):
            if near.against:
                continue
            found = search_cheaply(near.entry.question, near.entry.vector, look.stages, look.question.filters)
            why = changed(near.entry, found, look.stages, look.question.state)
            if why is not None:
                self.store.drop(near.entry, why)
            elif not near.doubt:
                return _Hit(near.entry, found, near.tier, near.similarity)
            elif look.doubted is None:
                look.doubted = near
        return None

    def _near(self, look: _Look) -> Iterator[_Near]:
        """Entries that may ask the same, the most likely first, with what says that they do not."""
        exact = self.store.find(look.scope, exact_key(look.question.text))
        if exact is not None:
            yield _Near(exact, "exact", 1.0)
        if self.config.cache.mode != "semantic":
            return
        least = self.config.cache.min_similarity
        for identity, similarity in self.store.nearest(look.scope, look.embed(), _CANDIDATES, least):
            entry = self.store.get(look.scope, identity)
            if entry is not None and (exact is None or entry.id != exact.id):
                against = differences(look.question.text, entry.question)
                doubt = None if against else self._doubt(entry, similarity, look.question.tenant)
                yield _Near(entry, "semantic", similarity, against, doubt)

    def _doubt(self, entry: Entry, similarity: float, tenant: str) -> Doubt | None:
        """Why an entry that asks the same is not given all the same."""
        most, least = self.config.cache.max_false_hits, self.config.cache.min_similarity
        if most is None:
            return None
        if not trusted(similarity, self.store.labels(entry), least, most):
            return "doubted"
        return "held" if stopped(*self.store.evidence(tenant), most) else None

    def _given(self, hit: _Hit, look: _Look, began: float) -> Answer:
        """The stored answer as that of this question: with its own trace, time and cost, and today's results."""
        entry, retrieved = hit.entry, hit.found.retrieved
        results = retrieved.results[: self.config.retrieval.top_k]
        told = trace_id()

        def count() -> None:
            self.store.count_hit(entry, hit.tier)
            if hit.tier != "exact":
                self.store.note_hit(_taken(entry, look.question, told, hit.similarity))

        self._told(count, None)
        tell(Ranked("retrieved", results))
        total = (time.perf_counter() - began) * 1e3
        timings = {**look.timings, "cache": total - sum(look.timings.values())}
        embedded = (look.question.text,) if look.timings else ()
        lines = cost_lines(self.config, embedded, look.timings)
        for stage, ms in timings.items():
            tell(Ended(stage, ms))
        return replace(
            entry.answer,
            results=tuple(results),
            ranked=retrieved.ranked,
            usage=Usage(),
            cost=(*lines, cache_line(self.config, timings["cache"], f"{hit.tier} hit", entry.nano_usd)),
            cache=hit.tier,
            cached=Cached(entry.question, hit.similarity, entry.created, entry.nano_usd, entry.answer.usage),
            trace_id=told,
            timings_ms={**timings, "total": total},
        )

    def _told(self, work: Callable[[], T], otherwise: T) -> T:
        """What the store gives; where it fails, that is logged once until it works again, for no question may fail by
        the cache."""
        try:
            given = work()
        except CacheFault as error:
            if not self._failing:
                _log.warning("answers are made anew: %s", error)
            self._failing = True
            return otherwise
        if self._failing:
            _log.warning("the cache can be used again")
        self._failing = False
        return given


@dataclass(slots=True)
class _Look:
    """A question on its way through the tiers; embedded once, if at all."""

    question: Question
    scope: str
    stages: Stages
    vector: NDArray[np.float32] | None = None
    doubted: _Near | None = None
    timings: dict[str, float] = field(default_factory=dict[str, float])

    def embed(self) -> NDArray[np.float32]:
        if self.vector is None:
            began = time.perf_counter()
            self.vector = self.stages.embedder.embed_question(self.question.text)
            self.timings["embed"] = (time.perf_counter() - began) * 1e3
        return self.vector


@dataclass(frozen=True, slots=True)
class _Near:
    """An entry whose question is near; `against` says in which ways it asks something else, `doubt` why it is not
    trusted if it asks the same."""

    entry: Entry
    tier: str
    similarity: float
    against: tuple[str, ...] = ()
    doubt: Doubt | None = None


@dataclass(frozen=True, slots=True)
class _Hit:
    entry: Entry
    found: Found
    tier: str
    similarity: float


def _taken(entry: Entry, asked: Question, trace: str, similarity: float) -> Hit:
    return Hit(asked.tenant, trace, entry.scope, entry.id, asked.text, entry.question, similarity)


def _flight_of(miss: Miss) -> str:
    return f"{miss.scope} {exact_key(miss.question.text)}"
