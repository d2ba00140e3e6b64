"""vLLM in this process: through ragkit's generator, and bare."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from eval.bench.gpu_prompts import Asked, Prompts, prompts
from eval.bench.gpu_settings import ONLINE, WINDOW, Settings, settings
from eval.bench.spec import Clock, Values
from ragkit.config.schema import Generation
from ragkit.generate import Generated
from ragkit.generate.vllm import VllmGenerator, load_engine, model_folder
from ragkit.ingest.sentences import split_sentences

_GUESSED = 5
"""Tokens that are drafted ahead."""


def variant(name: str, given: Settings) -> tuple[str, dict[str, object]]:
    """The model and the options of vLLM's engine that a contender of this name has."""
    options: dict[str, object] = {"max_model_len": WINDOW}
    if name == "no-prefix-cache":
        options["enable_prefix_caching"] = False
    if name == "quantised":
        if given.quantised not in ONLINE:
            return given.quantised, options
        options["quantization"] = given.quantised
    if name == "speculative":
        by_words: dict[str, object] = {"method": "ngram", "prompt_lookup_max": 4}
        draft = by_words if given.speculative == "ngram" else {
            "method": "draft_model", "model": str(model_folder(given.speculative))
        }  # fmt: skip
        options["speculative_config"] = {**draft, "num_speculative_tokens": _GUESSED}
        options["disable_log_stats"] = False  # its metrics tell how many drafted tokens were kept
    return given.model, options


def generation(given: Settings, **changes: object) -> Generation:
    """The part of a config that all contenders have."""
    fixed = {"temperature": 0.0, "max_tokens": given.answer_tokens, "context_tokens": 3000, "timeout_s": 900.0}
    return Generation.model_validate({**fixed, **changes})


def through_ragkit(name: str, clock: Clock) -> Values:
    """`VllmGenerator.stream` one by one, then `agenerate` of all at once."""
    given = settings()
    model, options = variant(name, given)
    asked = prompts(given.first, given.prompts, given.passages)
    config = generation(given, backend="vllm", model=model)
    with clock("load_s"):
        engine = load_engine(config, options)
    generator = VllmGenerator(config, split_sentences, engine)
    list(generator.stream(asked.warm_up.question, asked.warm_up.results))

    def first_piece(each: Asked) -> None:
        stream = generator.stream(each.question, each.results)
        next(stream)
        stream.close()  # pyright: ignore[reportAttributeAccessIssue] - it is a generator

    first = _milliseconds(first_piece, asked.first)
    before = _drafted()

    async def together() -> Sequence[Generated]:
        return await asyncio.gather(*(generator.agenerate(each.question, each.results) for each in asked.together))

    began = time.perf_counter()
    answers = asyncio.run(together())
    seconds = time.perf_counter() - began
    usages = [answer.usage for answer in answers]
    values = _values(
        first,
        seconds,
        sum(usage.output_tokens for usage in usages),
        sum(usage.input_tokens for usage in usages),
        sum(usage.cached_tokens for usage in usages),
    )
    if name == "speculative":
        drafted, kept = (now - then for now, then in zip(_drafted(), before, strict=True))
        values["kept"] = kept / drafted if drafted else 0.0
    engine.close()
    return values


def bare(clock: Clock) -> Values:
    """`vllm.LLM` on token ids that were made before the clock starts: the least that the work can cost."""
    given = settings()
    model, options = variant("ragkit", given)
    asked = prompts(given.first, given.prompts, given.passages)
    vllm: Any = import_module("vllm")
    on_cpu = bool(import_module("vllm.platforms").current_platform.is_cpu())
    with clock("load_s"):
        llm = vllm.LLM(model=str(model_folder(model)), enforce_eager=on_cpu, **options)
    ids = _token_ids(llm.get_tokenizer(), model, given, asked)

    def sampling(tokens: int) -> Any:
        parameters = llm.get_default_sampling_params()
        parameters.temperature, parameters.max_tokens = 0.0, tokens
        return parameters

    def answers(of: Sequence[Asked], tokens: int) -> Any:
        given_ids = [{"prompt_token_ids": ids[each.key]} for each in of]
        return llm.generate(given_ids, sampling(tokens), use_tqdm=False)

    answers([asked.warm_up], given.answer_tokens)
    first = _milliseconds(lambda each: answers([each], 1), asked.first)
    began = time.perf_counter()
    outputs = answers(asked.together, given.answer_tokens)
    seconds = time.perf_counter() - began
    return _values(
        first,
        seconds,
        sum(len(output.outputs[0].token_ids) for output in outputs),
        sum(len(output.prompt_token_ids) for output in outputs),
        sum(output.num_cached_tokens or 0 for output in outputs),
    )


def _token_ids(tokenizer: Any, model: str, given: Settings, asked: Prompts) -> Mapping[tuple[str, ...], list[int]]:
    """The very prompts that ragkit's generator makes, by its own code."""
    from ragkit.generate.fitting import fit
    from ragkit.generate.vllm import ChatPrompts

    chat, config = ChatPrompts(tokenizer, model), generation(given, backend="vllm", model=model)
    every = (asked.warm_up, *asked.first, *asked.together)
    return {
        each.key: fit(each.question, each.results, config, WINDOW, chat.count, chat.encode, split_sentences)[1]
        for each in every
    }


def _milliseconds(ask: Callable[[Asked], object], every: Sequence[Asked]) -> list[float]:
    taken: list[float] = []
    for each in every:
        began = time.perf_counter()
        ask(each)
        taken.append((time.perf_counter() - began) * 1e3)
    return taken


def _values(first_ms: Sequence[float], seconds: float, output: int, given: int, cached: int) -> Values:
    return {
        **first_token(first_ms),
        "tokens_s": output / seconds,
        "hits": cached / given,
        "prompt_tokens": float(given),
        "answer_tokens": float(output),
    }


def first_token(milliseconds: Sequence[float]) -> Values:
    """
    >>> first_token([1.0, 2.0, 3.0])
    {'first_p50': 2.0, 'first_p95': 2.9}
    """
    p50, p95 = np.percentile(milliseconds, [50, 95])
    return {"first_p50": float(p50), "first_p95": round(float(p95), 6)}


def _drafted() -> tuple[float, float]:
    """Tokens that were drafted so far, and those of them that were kept, by vLLM's own metrics of this process."""
    told = {"vllm:spec_decode_num_draft_tokens": 0.0, "vllm:spec_decode_num_accepted_tokens": 0.0}
    for metric in import_module("vllm.v1.metrics.reader").get_metrics_snapshot():
        if metric.name in told:
            told[metric.name] += metric.value
    drafted, kept = told.values()
    return drafted, kept
