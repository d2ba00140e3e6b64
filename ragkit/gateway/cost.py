"""The cost lines of an answer: one for each stage that ran a model, whether it cost something or not.

A model on this machine costs the seconds that it ran, at the rate that the config gives for the machine; a model behind
an API costs its tokens. A stage whose price is not known has a line too, with no amount.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from ragkit.config.schema import Config
from ragkit.embed import make_token_counter
from ragkit.gateway.prices import nano, price_of
from ragkit.generate.prompt import neutralise
from ragkit.retrieve.lists import by_splade
from ragkit.types import Attempt, CostLine, Usage

_MS_AN_HOUR = Decimal(3_600_000)
_WRITTEN = 512  # tokens of another wording or an imagined passage, at most
_FURTHER = ["word " * _WRITTEN] * 8  # the most and the longest that transforms embed beside the question
_AROUND = 1024  # tokens of a prompt beside question, system prompt and context: tags, template, what a transform says

STAGES = ("rewrite", "embed", "splade", "rerank", "generate")
"""Stages that run a model, as `timings_ms` names them; `rewrite` does so only where a language model writes."""
SEARCH_STAGES = STAGES[:-1]


def cost_lines(
    config: Config,
    embedded: Sequence[str],
    timings_ms: Mapping[str, float],
    model: str | None = None,
    usage: Usage | None = None,
    rewriting: Usage | None = None,
    attempts: Sequence[Attempt] = (),
) -> tuple[CostLine, ...]:
    """A line for each of `STAGES` that `timings_ms` has.

    `embedded` are the texts that the search embedded (`Retrieved.embedded`), each a request of its own. `model` is the
    name that the generator answered with and `usage` its tokens; an API without usage has no price.
    `rewriting` are the tokens that the same model took for `retrieval.transforms`, None if it was not asked. `attempts`
    are the tries of endpoints, which have a line each.

    >>> lines = cost_lines(Config(), ["How hot?"], {"embed": 20.0, "search": 3.0, "generate": 5.0})
    >>> [(line.stage, line.nano_usd, line.detail) for line in lines]
    [('embed', 0, '0.020 s'), ('generate', 0, '0.005 s')]
    """
    from ragkit.gateway.attempt_costs import attempt_lines, rewrite_line

    lines: list[CostLine] = []
    for stage in STAGES:
        if stage not in timings_ms or (stage == "rewrite" and rewriting is None):
            continue
        if stage == "generate" and attempts:
            lines += attempt_lines(config, attempts)
        elif stage == "rewrite" and config.routing.endpoints:
            lines.append(rewrite_line(config, timings_ms[stage], rewriting or Usage()))
        elif stage == "embed" and config.ingestion.embedding.backend == "openai":
            lines.append(_embedding(config, embedded))
        elif stage == "rerank" and config.retrieval.reranking.backend == "http":
            reranking = config.retrieval.reranking
            lines.append(_by_tokens(config, stage, reranking.model or "", Usage(), reranking.base_url))
        elif stage in ("rewrite", "generate") and config.generation.backend == "openai":
            named = model or config.generation.model or ""
            taken = rewriting if stage == "rewrite" else usage
            lines.append(_by_tokens(config, stage, named, taken, config.generation.base_url))
        else:
            lines.append(_by_seconds(config, stage, timings_ms[stage]))
    return tuple(lines)


def cache_line(config: Config, milliseconds: float, detail: str, saved: int | None = 0) -> CostLine:
    """The line of looking for an answer that was given before, and of keeping one; `saved` is what a kept answer cost
    when it was made, None if that is not known.

    >>> line = cache_line(Config(), 4.0, "exact hit")
    >>> line.stage, line.nano_usd, line.detail
    ('cache', 0, 'exact hit')
    """
    return replace(_by_seconds(config, "cache", milliseconds), detail=detail, saved_nano_usd=saved or 0)


def worst_case(config: Config, question: str, stages: Collection[str] = STAGES) -> tuple[int, bool]:
    """The most that an answer to this question can cost, in nano-dollars, and whether all of it has a known price.

    Prompts are counted as full, in bytes where text is known (no tokenizer makes more tokens of it), and at three
    times `generation.context_tokens` for models whose tokenizer is not OpenAI's: digits are a token each there. Models
    on this machine are charged for the whole of the time limits. Only `stages` are counted.
    """
    from ragkit.gateway.attempt_costs import worst_of_attempts

    if config.routing.endpoints:
        return worst_of_attempts(config, question, stages)
    generation, retrieval, embedding = config.generation, config.retrieval, config.ingestion.embedding
    timings = {"generate": generation.timeout_s * 1e3}
    if retrieval.strategy != "sparse":
        timings["embed"] = embedding.timeout_s * 1e3
    if by_splade(retrieval):
        timings["splade"] = embedding.timeout_s * 1e3
    if retrieval.reranking.backend != "none":
        timings["rerank"] = max(retrieval.reranking.timeout_s, generation.timeout_s) * 1e3
    if retrieval.transforms:
        timings["rewrite"] = generation.timeout_s * 1e3
    asked = len(neutralise(question).encode("utf-8", "replace"))
    around = asked + len(generation.reminder.encode()) + len(generation.system_prompt.encode()) + _AROUND
    # Small models get the nearest sentences of the context a second time.
    contexts = (1 if generation.citations == "names" else 2) * (1 if generation.base_url is None else 3)
    prompt = Usage(generation.context_tokens * contexts + around, generation.max_tokens)
    # Each transform is a request of its own.
    writing = Usage(around, max(generation.max_tokens, _WRITTEN)) if retrieval.transforms else None
    embedded = [neutralise(question), *(_FURTHER if retrieval.transforms else [])]
    every = cost_lines(config, embedded, timings, generation.model, prompt, writing)
    lines = [line for line in every if line.stage in stages]
    times = {"rewrite": len(retrieval.transforms)}
    known = [line.nano_usd * times.get(line.stage, 1) for line in lines if line.nano_usd is not None]
    return sum(known), len(known) == len(lines)


def _by_seconds(config: Config, stage: str, milliseconds: float) -> CostLine:
    rate = Decimal(str(config.costs.machine_usd_per_hour))
    spent = nano(rate * Decimal(str(milliseconds)) / _MS_AN_HOUR)
    return CostLine(stage, spent, f"{milliseconds / 1e3:.3f} s")


def _by_tokens(config: Config, stage: str, model: str, usage: Usage | None, base_url: str | None) -> CostLine:
    if usage is None:
        return CostLine(stage, None, f"{model} said no tokens", model)
    prices = config.costs.prices
    # Rerankers are priced by the call, which no table of token prices knows.
    known = stage != "rerank" or (model in prices and "call" in prices[model].model_fields_set)
    # A server may answer with a dated name of the model that was asked for.
    asked = config.generation.model
    if stage in ("rewrite", "generate") and model not in prices and asked is not None and asked in prices:
        model = asked
    spent = price_of(model, usage, prices, base_url) if known else None
    if spent is None:
        return CostLine(stage, None, f"no price known for {model}; set costs.prices", model, usage)
    return CostLine(stage, spent, f"{model}, {usage.input_tokens + usage.output_tokens:,} tokens", model, usage)


def _embedding(config: Config, texts: Sequence[str]) -> CostLine:
    embedding = config.ingestion.embedding
    counter = make_token_counter(embedding)
    counts = [counter.count(embedding.query_prefix + text) for text in texts]
    lines = [_by_tokens(config, "embed", embedding.model, Usage(count), embedding.base_url) for count in counts]
    known = [line.nano_usd for line in lines if line.nano_usd is not None]
    if len(known) < len(lines) or not lines:
        return next(iter(lines), CostLine("embed", 0, embedding.model, embedding.model))
    total = Usage(sum(counts))
    return CostLine("embed", sum(known), f"{embedding.model}, {total.input_tokens:,} tokens", embedding.model, total)
