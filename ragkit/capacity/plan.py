"""From what was measured on a small index to what a large one needs; every assumption is a field and is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ragkit.capacity.rates import Rates
from ragkit.gateway.prices import price_of
from ragkit.types import Usage

if TYPE_CHECKING:
    from ragkit.config.schema import Config, Generation

_HOURS_A_MONTH = 730.0


@dataclass(frozen=True, slots=True)
class Assumed:
    """What no measurement here can tell.

    `utilisation` is the share of a machine's cores that questions may take on the mean; `answer_tokens` the length of
    an answer by a model; `gpu_tokens_per_s` what a GPU reads and writes a second over all requests together.
    """

    utilisation: float = 0.6
    answer_tokens: int = 200
    gpu_tokens_per_s: float = 2000.0


@dataclass(frozen=True, slots=True)
class Money:
    """A month of answers by one model: dollars, None where its price is not known."""

    name: str
    usd: float | None


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """What the corpus and the questions need; times are core-seconds of this machine.

    `left_out` names what the config has and the plan does not reckon. `disk_bytes` is one generation of the index and
    `disk_peak_bytes` two, which there are while one is changed.
    `memory_bytes` is what a replica needs at least; with `memory_cached_bytes` no search waits for the disk.
    """

    documents: int
    qps: float
    chunks: int
    disk_bytes: int
    disk_peak_bytes: int
    memory_bytes: int
    memory_cached_bytes: int
    index_core_s: float
    question_core_s: dict[str, float]
    replicas: int
    replica_cores: int
    gpu_s_per_question: float
    gpus: int
    machines_usd_month: float
    models_usd_month: tuple[Money, ...]
    left_out: tuple[str, ...]


def plan(config: Config, rates: Rates, documents: int, qps: float, assumed: Assumed) -> CapacityPlan:
    """Reckon a corpus of `documents` like those that are indexed, asked `qps` questions a second on the mean.

    Disk and memory grow in a straight line with the chunks, searches by a power of their number; both are fitted to the
    trials.
    """
    chunks = round(documents * rates.chunks / rates.documents)
    stored = line_at([(each.chunks, each.disk_bytes) for each in rates.points], chunks)
    disk = round(stored + documents * rates.manifest_bytes)
    index_bytes = round(line_at([(each.chunks, each.memory_bytes) for each in rates.points], chunks))
    seconds = {"search": power_at([(each.chunks, each.search_s) for each in rates.points], chunks), **rates.question_s}
    memory = rates.base_bytes + index_bytes
    write_s = rates.points[-1].write_s
    replicas = max(1, math.ceil(qps * sum(seconds.values()) / (rates.cores * assumed.utilisation)))
    generations = [each.over(config.generation) for each in config.routing.endpoints] or [config.generation]
    tokens = prompt_tokens(config, rates)
    on_gpu = any(each.backend == "vllm" for each in generations)
    gpu_s = (tokens + assumed.answer_tokens) / assumed.gpu_tokens_per_s if on_gpu else 0.0
    return CapacityPlan(
        documents=documents,
        qps=qps,
        chunks=chunks,
        disk_bytes=disk,
        disk_peak_bytes=2 * disk,
        memory_bytes=memory,
        memory_cached_bytes=memory + disk,
        index_core_s=chunks * (rates.embed_s + write_s),
        question_core_s=seconds,
        replicas=replicas,
        replica_cores=rates.cores,
        gpu_s_per_question=gpu_s,
        gpus=math.ceil(qps * gpu_s / assumed.utilisation),
        machines_usd_month=replicas * config.costs.machine_usd_per_hour * _HOURS_A_MONTH,
        models_usd_month=tuple(
            _money(config, each, tokens, qps, assumed) for each in generations if each.backend == "openai"
        ),
        left_out=left_out(config),
    )


def left_out(config: Config) -> tuple[str, ...]:
    """What of the config costs something and is in no figure.

    >>> from ragkit.config.schema import Config
    >>> left_out(Config())
    ()
    """
    retrieval, embedding = config.retrieval, config.ingestion.embedding
    parts = {
        "SPLADE vectors (retrieval.sparse)": retrieval.sparse != "bm25",
        "an embedding API (ingestion.embedding)": embedding.backend == "openai",
        "a reranking service (retrieval.reranking)": retrieval.reranking.backend == "http",
        "retrieval.transforms": bool(retrieval.transforms),
        "retrieval.feedback": retrieval.feedback.method != "none",
        "answers of routing.endpoints, each reckoned as if it gave all": bool(config.routing.endpoints),
    }
    return tuple(name for name, there in parts.items() if there)


def prompt_tokens(config: Config, rates: Rates) -> int:
    """Tokens of a prompt: the passages that fit, at their mean length, and the system prompt, 4 characters a token."""
    generation = config.generation
    passages = min(generation.context_chunks, config.retrieval.top_k) * rates.chunk_tokens
    return round(min(passages, generation.context_tokens) + len(generation.system_prompt) / 4)


def _money(config: Config, generation: Generation, tokens: int, qps: float, assumed: Assumed) -> Money:
    name = generation.model or ""
    usage = Usage(input_tokens=tokens, output_tokens=assumed.answer_tokens)
    price = price_of(name, usage, config.costs.prices, generation.base_url)
    return Money(name, None if price is None else price / 1e9 * qps * 3600 * _HOURS_A_MONTH)


def line_at(measured: Sequence[tuple[float, float]], size: float) -> float:
    """The straight line through the measurements (least squares) at this size; not below 0.

    >>> line_at([(10, 25), (20, 45), (40, 85)], 100)
    205.0
    """
    x, y = zip(*measured, strict=True)
    slope, start = np.polyfit(x, y, 1) if len(measured) > 1 else (y[0] / x[0], 0.0)
    return max(0.0, round(float(start + slope * size), 6))


def power_at(measured: Sequence[tuple[float, float]], size: float) -> float:
    """The power of the size that fits the measurements best, at this size; the exponent between 0 and 1.

    >>> round(power_at([(100, 1.0), (400, 2.0), (1600, 4.0)], 6400), 6)
    8.0
    """
    x = np.log([each for each, _ in measured])
    y = np.log([max(value, 1e-9) for _, value in measured])
    spread = float(np.sum((x - x.mean()) ** 2))
    exponent = float(np.sum((x - x.mean()) * (y - y.mean())) / spread) if spread else 0.0
    exponent = min(1.0, max(0.0, exponent))
    return float(np.exp(y.mean() + exponent * (math.log(size) - x.mean())))
