"""Questions as every endpoint answered them: what a cascade is fitted to, and what routers are compared on.

Each endpoint is asked alone, in an evaluation run like any other, which keeps what it said; the signs that a cascade
goes by are then worked out of it, over what of the passages stood in the prompt. What stood in for an endpoint that did
not answer is no answer of it: the recording ends with an error, and the next one asks again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

from ragkit.ask import passages_for
from ragkit.config.routing import Cascade, Endpoint
from ragkit.config.schema import Config
from ragkit.errors import RagkitError
from ragkit.evaluate.examine import conditions_of
from ragkit.evaluate.record import ExcerptRow, Record
from ragkit.evaluate.run import Asked, placed_config, run_suite
from ragkit.evaluate.runs import Runs
from ragkit.evaluate.suite import LoadedSuite
from ragkit.gateway.cascade import signals
from ragkit.gateway.prices import price_of
from ragkit.generate.generated import Generated
from ragkit.ingest.index import Progress
from ragkit.system import Ragkit
from ragkit.types import Chunk, ScoredChunk, Usage

_FAILURES = 5
"""Questions in a row that an endpoint fails at before no further one is asked."""


@dataclass(frozen=True, slots=True)
class Logged:
    """One question; what has a value for each endpoint is in their order, the dearest last.

    `right` are from 0 to 1, `nano_usd` what the answers cost, `signals` those of `cascade.signals`, None for a refusal.
    `cluster` is what questions share that succeed and fail together.
    """

    id: str
    question: str
    cluster: str
    segment: str
    right: tuple[float, ...]
    nano_usd: tuple[int, ...]
    signals: tuple[Mapping[str, float] | None, ...]


def record(
    loaded: LoadedSuite,
    config: Config,
    runs: Runs,
    *,
    concurrency: int = 1,
    indexing: Progress | None = None,
    asked: Callable[[Endpoint], AbstractContextManager[Asked | None]] = lambda _: nullcontext(),
) -> list[list[Record]]:
    """The records of every question by each endpoint of `routing`, in their order; what was asked before is not asked
    again, but for what was not answered. `asked` opens for each endpoint what is told after each question.

    Raises RagkitError for an endpoint that did not answer a question (at once where it fails at several in a row), and
    what `run_suite` does.
    """
    answers: list[list[Record]] = []
    for endpoint in config.routing.endpoints:
        one = alone(config, endpoint)
        with asked(endpoint) as told:
            run = run_suite(
                loaded,
                one,
                runs,
                part="all",
                complete=True,
                concurrency=concurrency,
                indexing=indexing,
                asked=_Failures(endpoint, told),
            )
        records = list(runs.records(run.id))
        if failed := [each for each in records if not each.answered]:
            raise _unanswered(endpoint, failed, len(records))
        answers.append(records)
    return answers


@dataclass(slots=True)
class _Failures:
    """Ends a recording that only fails: whoever is down would be waited for at every question."""

    endpoint: Endpoint
    told: Asked | None
    row: list[Record] = field(default_factory=list[Record])

    def __call__(self, done: int, questions: int, record: Record) -> None:
        if self.told is not None:
            self.told(done, questions, record)
        self.row = [] if record.answered else [*self.row, record]
        if len(self.row) == _FAILURES:
            raise _unanswered(self.endpoint, self.row, _FAILURES, "the last ")


def _unanswered(endpoint: Endpoint, failed: Sequence[Record], of: int, which: str = "") -> RagkitError:
    first = failed[0]
    why = first.error or (first.notes[-1] if first.notes else "something else stood in for it")
    return RagkitError(
        f"{endpoint.name} did not answer {len(failed)} of {which}{of} questions, the first {first.case.id}: {why}",
        mend="see to its base_url, api_key and model (ragkit doctor), and run this again: what is answered is kept",
    )


def alone(config: Config, endpoint: Endpoint) -> Config:
    """The config with this endpoint only, and without a cache."""
    only = {"endpoints": [endpoint], "policy": "single", "rules": [], "cascade": Cascade()}
    routing, cache = config.routing.model_copy(update=only), config.cache.model_copy(update={"mode": "off"})
    return config.model_copy(update={"routing": routing, "cache": cache})


def logged(loaded: LoadedSuite, config: Config, answers: Sequence[Sequence[Record]]) -> list[Logged]:
    """What `record` gave, question by question; those without labelled answers are left out.

    Raises RagkitError for an answer whose price is not known.
    """
    endpoints = config.routing.endpoints
    labelled = [
        several for several in zip(*answers, strict=True) if all(right_of(each) is not None for each in several)
    ]
    rows: list[Logged] = []
    with Ragkit(placed_config(loaded, alone(config, endpoints[0])), follow=False) as rag:
        stages = rag.stages()
        for several in labelled:
            case = several[0].case
            passages = passages_for(case.question, stages, conditions_of(case))
            rows.append(
                Logged(
                    case.id,
                    case.question,
                    case.cluster,
                    case.segment,
                    tuple(right_of(each) or 0.0 for each in several),
                    tuple(cost_of(config, endpoint, each) for endpoint, each in zip(endpoints, several, strict=True)),
                    signals_of(case.question, passages, several),
                )
            )
    return rows


def signals_of(
    question: str, passages: Sequence[ScoredChunk], answers: Sequence[Record]
) -> tuple[Mapping[str, float] | None, ...]:
    """The signals of each answer, as a cascade would see them that asked the endpoints one after another."""
    found: list[Mapping[str, float] | None] = []
    before: list[Generated] = []
    for record in answers:
        answer = _generated(record, passages)
        found.append(None if answer.refused else signals(question, passages, answer, before))
        before.append(answer)
    return tuple(found)


def right_of(record: Record) -> float | None:
    """1 for an answer that has a labelled one, and for the refusal of what cannot be answered; None without labels."""
    if not record.case.answerable:
        return float(record.refused)
    return record.metrics.get("contained")


def cost_of(config: Config, endpoint: Endpoint, record: Record) -> int:
    """What the answer cost, in nano-dollars, as it was recorded; that of a model on this machine by `costs.prices`
    where they name it, for it is recorded by the second."""
    generation = endpoint.over(config.generation)
    if generation.backend != "openai" and generation.model in config.costs.prices:
        usage = Usage(record.input_tokens, record.output_tokens)
        return price_of(generation.model, usage, config.costs.prices) or 0
    lines = [line.nano_usd for line in record.cost if line.stage == "generate"]
    if None in lines:
        raise RagkitError(
            f"what {endpoint.name} costs is not known", mend=f"write the price of {generation.model} under costs.prices"
        )
    return sum(nano or 0 for nano in lines)


def _generated(record: Record, passages: Sequence[ScoredChunk]) -> Generated:
    """The answer as the router has it, before citations are checked."""
    whole = {passage.chunk.id: passage.chunk for passage in passages}
    used = tuple(_part(whole[each.chunk_id], each) for each in record.prompt if each.chunk_id in whole)
    usage = Usage(record.input_tokens, record.output_tokens)
    return Generated(record.text, usage, record.model, record.refused, finish_reason="stop", used=used)


def _part(passage: Chunk, stood: ExcerptRow) -> Chunk:
    """What of a passage stood in the prompt."""
    text = passage.text[stood.start - passage.start : stood.end - passage.start]
    return replace(passage, text=text, start=stood.start, end=stood.end)
