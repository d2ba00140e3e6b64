"""Questions as every endpoint answered them: what a cascade is fitted to, and what routers are compared on.

Each endpoint is asked alone, in an evaluation run like any other, which keeps what it said; the signs that a cascade
goes by are then worked out of it, over the same passages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from ragkit.ask import passages_for
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
from ragkit.generate.generated import Generated
from ragkit.ingest.index import Progress
from ragkit.system import Ragkit
from ragkit.types import ScoredChunk, Usage


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
    indexing: Progress | None = None,
    asked: Callable[[Endpoint], AbstractContextManager[Asked | None]] = lambda _: nullcontext(),
) -> list[list[Record]]:
    """The records of every question by each endpoint of `routing`, in their order; what was asked before is not asked
    again. `asked` opens for each endpoint what is told after each question.

    Raises ConfigError for fewer than two endpoints, and what `run_suite` does.
    """
    if len(config.routing.endpoints) < 2:
        raise ConfigError("routing.endpoints has fewer than two", mend="name a cheap endpoint and a dear one")
    answers: list[list[Record]] = []
    for endpoint in config.routing.endpoints:
        one = alone(config, endpoint)
        with asked(endpoint) as told:
            run = run_suite(loaded, one, runs, part="all", resume=True, again=False, indexing=indexing, asked=told)
        answers.append(list(runs.records(run.id)))
    return answers


def alone(config: Config, endpoint: Endpoint) -> Config:
    """The config with this endpoint only, and without a cache."""
    only = {"endpoints": [endpoint], "policy": "single", "rules": [], "cascade": Cascade()}
    routing, cache = config.routing.model_copy(update=only), config.cache.model_copy(update={"mode": "off"})
    return config.model_copy(update={"routing": routing, "cache": cache})


def logged(loaded: LoadedSuite, config: Config, answers: Sequence[Sequence[Record]]) -> list[Logged]:
    """What `record` gave, question by question; those without labelled answers are left out.

    Raises RagkitError for an answer whose price is not known.
    """
    with Ragkit(placed_config(loaded, alone(config, config.routing.endpoints[0]))) as rag:
        stages = rag.stages()
        rows: list[Logged] = []
        for several in zip(*answers, strict=True):
            case = several[0].case
            rights = [right_of(each) for each in several]
            if None in rights:
                continue
            passages = passages_for(case.question, stages, conditions_of(case))
            rows.append(
                Logged(
                    case.id,
                    case.question,
                    case.cluster,
                    case.segment,
                    tuple(right or 0.0 for right in rights),
                    tuple(
                        cost_of(config, endpoint, each)
                        for endpoint, each in zip(config.routing.endpoints, several, strict=True)
                    ),
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


def _generated(record: Record, passages: Sequence[ScoredChunk]) -> Generated:
    """The answer as the router has it, before citations are checked."""
    prompt = {passage.chunk_id for passage in record.passages if passage.in_prompt}
    used = tuple(passage.chunk for passage in passages if passage.chunk.id in prompt)
    usage = Usage(record.input_tokens, record.output_tokens)
    refused = record.refused or bool(record.error)
    return Generated(record.text, usage, record.model, refused, finish_reason="stop", used=used)
