"""Questions as every endpoint answered them: what a cascade is fitted to, and what routers are compared on.

Each endpoint is asked alone, in an evaluation run like any other, which keeps what it said; the signs that a cascade
goes by are then worked out of it, over the same passages, packed as they were for that endpoint. What stood in for an
endpoint that did not answer is no answer of it: the recording ends with an error, and the next one asks again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from ragkit.ask import passages_for, sentence_splitter
from ragkit.config.routing import Cascade, Endpoint
from ragkit.config.schema import Config
from ragkit.errors import ConfigError, RagkitError
from ragkit.evaluate.examine import conditions_of
from ragkit.evaluate.record import Record
from ragkit.evaluate.run import Asked, placed_config, run_suite
from ragkit.evaluate.runs import Runs
from ragkit.evaluate.suite import LoadedSuite
from ragkit.gateway.cascade import signals
from ragkit.gateway.prices import price_of
from ragkit.gateway.router_packing import packer
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

    Raises ConfigError for fewer than two endpoints, RagkitError for one that did not answer a question (at once where
    it fails at several in a row), and what `run_suite` does.
    """
    if len(config.routing.endpoints) < 2:
        raise ConfigError("routing.endpoints has fewer than two", mend="name a cheap endpoint and a dear one")
    answers: list[list[Record]] = []
    for endpoint in config.routing.endpoints:
        one = alone(config, endpoint)
        with asked(endpoint) as told:
            run = run_suite(
                loaded,
                one,
                runs,
                part="all",
                resume=True,
                again=False,
                retry=True,
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

    Raises RagkitError for an answer whose price is not known, and what loading the tokenizer of an endpoint does.
    """
    endpoints = config.routing.endpoints
    labelled = [
        several for several in zip(*answers, strict=True) if all(right_of(each) is not None for each in several)
    ]
    with Ragkit(placed_config(loaded, alone(config, endpoints[0]))) as rag:
        stages = rag.stages()
        cases = [several[0].case for several in labelled]
        passages = [passages_for(case.question, stages, conditions_of(case)) for case in cases]
    # One endpoint after the other, so that no two models are in memory for their tokenizers.
    read: list[list[tuple[Chunk, ...]]] = []
    for endpoint in endpoints:
        packed = packer(endpoint.over(config.generation), sentence_splitter(config))
        read.append(
            [packed(case.question, found) if found else () for case, found in zip(cases, passages, strict=True)]
        )
    return [
        Logged(
            case.id,
            case.question,
            case.cluster,
            case.segment,
            tuple(right_of(each) or 0.0 for each in several),
            tuple(cost_of(config, endpoint, each) for endpoint, each in zip(endpoints, several, strict=True)),
            signals_of(case.question, found, several, used),
        )
        for case, found, several, used in zip(cases, passages, labelled, zip(*read, strict=True), strict=True)
    ]


def signals_of(
    question: str,
    passages: Sequence[ScoredChunk],
    answers: Sequence[Record],
    used: Sequence[tuple[Chunk, ...]],
) -> tuple[Mapping[str, float] | None, ...]:
    """The signals of each answer, as a cascade would see them that asked the endpoints one after another; `used` is
    what of the passages stood in the prompt of each."""
    found: list[Mapping[str, float] | None] = []
    before: list[Generated] = []
    for record, read in zip(answers, used, strict=True):
        answer = _generated(record, read)
        found.append(None if answer.refused else signals(question, passages, answer, before))
        before.append(answer)
    return tuple(found)


def right_of(record: Record) -> float | None:
    """1 for an answer that has a labelled one, and for the refusal of what cannot be answered; None without labels."""
    if record.error:
        return 0.0
    if not record.case.answerable:
        return float(record.refused)
    return record.metrics.get("contained")


def cost_of(config: Config, endpoint: Endpoint, record: Record) -> int:
    """What the model took, in nano-dollars: by `costs.prices` where they name it, else as it was recorded."""
    model = endpoint.over(config.generation).model or ""
    if model in config.costs.prices:
        usage = Usage(record.input_tokens, record.output_tokens)
        return price_of(model, usage, config.costs.prices) or 0
    lines = [line.nano_usd for line in record.cost if line.stage == "generate"]
    if None in lines:
        raise RagkitError(
            f"what {endpoint.name} costs is not known", mend=f"write the price of {model} under costs.prices"
        )
    return sum(nano or 0 for nano in lines)


def _generated(record: Record, used: tuple[Chunk, ...]) -> Generated:
    """The answer as the router has it, before citations are checked."""
    usage = Usage(record.input_tokens, record.output_tokens)
    refused = record.refused or bool(record.error)
    return Generated(record.text, usage, record.model, refused, finish_reason="stop", used=used)
