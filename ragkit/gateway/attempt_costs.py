"""What the tries of several endpoints cost: each has a line of its own, and a budget is reserved for the worst of them.

A try that an endpoint refused costs nothing. The line of the try that answered says what all tries together saved
against one of the dearest endpoint with the same tokens; nothing is known of that where sentences of the documents were
the answer, for they have no tokens. One whose tokens nobody knows has a line without an amount; a budget is
charged for it with the most that it can have cost.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ragkit.config.routing import Endpoint, Routing
from ragkit.config.schema import WRITERS, Config
from ragkit.gateway.cost import STAGES, cost_lines, worst_case
from ragkit.types import Answer, Attempt, CostLine, Usage

_GENERATE, _REWRITE = frozenset({"generate"}), frozenset({"rewrite"})
_BESIDE = frozenset(STAGES) - _GENERATE - _REWRITE


def attempt_lines(config: Config, attempts: Sequence[Attempt]) -> list[CostLine]:
    """A line for each try, by the prices of its endpoint's model.

    >>> config = Config.model_validate({"routing": {"endpoints": [{"name": "a", "backend": "openai", "model": "m"}]}})
    >>> [line.nano_usd for line in attempt_lines(config, [Attempt("a", "m", "HTTP 429", 0.1, Usage())])]
    [0]
    """
    lines = [_line(config, attempt) for attempt in attempts]
    answered = next((place for place, attempt in enumerate(attempts) if attempt.outcome == "answered"), None)
    paid = [line.nano_usd for line in lines]
    if answered is not None and None not in paid and (usage := attempts[answered].usage):
        saved = _dearest(config, usage, attempts[answered].seconds) - sum(nano or 0 for nano in paid)
        lines[answered] = replace(lines[answered], saved_nano_usd=saved)
    return lines


def rewrite_line(config: Config, milliseconds: float, usage: Usage) -> CostLine:
    """The line of texts that some endpoint wrote, at the price of the dearest that can have."""
    timings = {"rewrite": milliseconds}
    lines = [cost_lines(_at(config, each), (), timings, rewriting=usage)[0] for each in _writers(config)]
    unknown = [line for line in lines if line.nano_usd is None]
    return unknown[0] if unknown else max(lines, key=lambda line: line.nano_usd or 0, default=CostLine("rewrite", 0))


def worst_of_attempts(config: Config, question: str, stages: Collection[str]) -> tuple[int, bool]:
    """`worst_case` for several endpoints: `routing.paid_attempts` tries of the dearest, and the answer without one."""
    times = config.routing.paid_attempts
    beside = worst_case(_at(config, None), question, _BESIDE.intersection(stages))
    rewrite, generate = _REWRITE.intersection(stages), _GENERATE.intersection(stages)
    writes = [worst_case(_at(config, each), question, rewrite) for each in _writers(config)]
    tries = [worst_case(_at(config, each), question, generate) for each in config.routing.endpoints]
    stand_in = worst_case(_at(config, None), question, generate)
    most = beside[0] + stand_in[0] + times * (_most(writes) + _most(tries))
    return most, all(priced for _, priced in [beside, *writes, *tries, stand_in])


def charged(config: Config, question: str, answer: Answer) -> tuple[CostLine, ...]:
    """The cost lines of an answer as a budget counts them: a try whose tokens nobody knows with the most it can be."""
    lines = list(answer.cost)
    begin = next((place for place, line in enumerate(lines) if line.stage == "generate"), len(lines))
    for place, attempt in enumerate(answer.attempts, begin):
        endpoint = _named(config, attempt.endpoint)
        if endpoint is not None and attempt.usage is None and lines[place].nano_usd is None:
            most, priced = worst_case(_at(config, endpoint), question, _GENERATE)
            if priced:
                lines[place] = replace(lines[place], nano_usd=most, detail=f"{lines[place].detail}: at most this")
    return tuple(lines)


def _line(config: Config, attempt: Attempt) -> CostLine:
    endpoint = _named(config, attempt.endpoint)
    told = attempt.endpoint if attempt.outcome == "answered" else f"{attempt.endpoint}, {attempt.outcome}"
    if attempt.usage == Usage() and attempt.outcome != "answered":
        return CostLine("generate", 0, told, attempt.model, endpoint=attempt.endpoint)
    timings = {"generate": attempt.seconds * 1e3}
    [line] = cost_lines(_at(config, endpoint), (), timings, attempt.model, attempt.usage)
    return replace(line, detail=f"{told}: {line.detail}", endpoint=attempt.endpoint)


def _dearest(config: Config, usage: Usage, seconds: float) -> int:
    """What the same tokens cost at the dearest endpoint whose price is known."""
    timings = {"generate": seconds * 1e3}
    endpoints = config.routing.endpoints
    lines = [cost_lines(_at(config, each), (), timings, each.model, usage)[0] for each in endpoints]
    return max((line.nano_usd or 0 for line in lines), default=0)


def _at(config: Config, endpoint: Endpoint | None) -> Config:
    """The config as if there were this endpoint only; None is the answer without a language model."""
    generation = config.generation.without_model() if endpoint is None else endpoint.over(config.generation)
    return config.model_copy(update={"generation": generation, "routing": Routing()})


def _named(config: Config, name: str) -> Endpoint | None:
    return next((each for each in config.routing.endpoints if each.name == name), None)


def _writers(config: Config) -> list[Endpoint]:
    return [each for each in config.routing.endpoints if each.over(config.generation).backend in WRITERS]


def _most(costs: Sequence[tuple[int, bool]]) -> int:
    return max((most for most, _ in costs), default=0)
