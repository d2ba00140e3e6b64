"""What a run of the GPU benchmark is given: device, models and sizes, handed to the contenders' processes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

VARIABLE = "RAGKIT_BENCH_GPU"
"""Environment variable with the settings as JSON."""

ONLINE = ("fp8", "bitsandbytes")
"""Quantisations that vLLM makes of the full weights while it loads them; anything else names a model."""
WINDOW = 4096
"""Tokens of prompt and answer together, for every engine."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`quantised` and `speculative` are empty where they are left out. The counts are of one round of one contender."""

    device: Literal["cuda", "cpu"] = "cuda"
    model: str = "hf:Qwen/Qwen2.5-7B-Instruct"
    quantised: str = "fp8"
    speculative: str = "ngram"
    embedder: str = "all-MiniLM-L6-v2"
    first: int = 40
    """Prompts asked one after the other, for the time to the first token."""
    prompts: int = 400
    """Prompts asked together, for the tokens a second."""
    concurrency: int = 32
    """Requests that a client of the server has under way."""
    answer_tokens: int = 128
    passages: int = 5
    texts: int = 5_000
    """Passages that are embedded."""
    questions: int = 40
    """Questions whose candidates are scored."""
    candidates: int = 50

    @property
    def references(self) -> dict[str, str]:
        """The models of vLLM that have to be on this machine, by what they are for."""
        wanted = {"model": self.model}
        if self.quantised and self.quantised not in ONLINE:
            wanted["quantised"] = self.quantised
        if self.speculative and self.speculative != "ngram":
            wanted["speculative"] = self.speculative
        return wanted

    def told(self) -> dict[str, str]:
        """What stands in the results: nobody can read the figures without it."""
        return {name: str(value) for name, value in asdict(self).items()}


QUICK: dict[str, Any] = {"first": 10, "prompts": 64, "answer_tokens": 64, "texts": 1_000, "questions": 10}
REHEARSAL: dict[str, Any] = {
    "device": "cpu", "model": "qwen2.5-coder-0.5b-instruct", "quantised": "", "first": 2, "prompts": 4,
    "concurrency": 2, "answer_tokens": 8, "passages": 2, "texts": 32, "questions": 2, "candidates": 10,
}  # fmt: skip
"""The least that goes through all of the code."""


def chosen(*, rehearsal: bool, quick: bool, **given: object) -> Settings:
    """The settings for a kind of run, with those in the place of its own that are not None.

    >>> [chosen(rehearsal=False, quick=True, prompts=prompts).prompts for prompts in (None, 9)]
    [64, 9]
    """
    own = REHEARSAL if rehearsal else QUICK if quick else {}
    return replace(Settings(), **{**own, **{name: value for name, value in given.items() if value is not None}})


def settings() -> Settings:
    """Those that this process was given; the defaults without any."""
    return Settings(**json.loads(os.environ.get(VARIABLE, "{}")))


def hand_over(given: Settings) -> None:
    """Give the settings to the processes that this one starts."""
    os.environ[VARIABLE] = json.dumps(asdict(given))
