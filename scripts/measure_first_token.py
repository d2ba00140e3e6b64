"""Our share of the time to the first token, and what a second question over the same passages evaluates anew.

    python scripts/measure_first_token.py XQUAD_DIR [--questions 20] [--model qwen2.5-coder-0.5b-instruct]

For each question, with an empty cache: `Ragkit.stream` until its first piece, less the milliseconds that it says
retrieval took, and llama-cpp-python's own streamed completion of the same prompt under the same grammar until its first
piece; in the order ours, bare, bare, ours, so that a machine that slows down slows both. Prints the means of both and
the differences, whole and without the time that llama.cpp evaluates tokens: the evaluation is the same for both (the
tokens are counted), takes seconds, and on a shared machine varies by more than what is asked here. Then the tokens of a
second question that the cache served.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import llama_cpp

from ragkit import Ragkit
from ragkit.evaluate.statistics import mean_interval
from ragkit.generate.answer_form import answer_grammar
from ragkit.generate.llama_cpp import LlamaCppGenerator
from ragkit.types import Answer

CONFIG = Path(__file__).parent.parent / "configs" / "local-llm.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--model", default="qwen2.5-coder-0.5b-instruct")
    args = parser.parse_args()
    index = Path(tempfile.gettempdir()) / "ragkit-answers" / "index"
    overrides = [f"generation.model={args.model}", f"ingestion.store.path={index}", "generation.max_tokens=24"]
    rows = [json.loads(line) for line in (args.data / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    whole: list[float] = []
    own: list[float] = []
    with Ragkit.from_config(CONFIG, [*overrides, "generation.refusal.min_confidence=0"]) as rag:
        rag.index([args.data / "corpus.jsonl"])
        generator = rag.generator
        assert isinstance(generator, LlamaCppGenerator)
        llama: Any = generator.model._llama  # pyright: ignore[reportPrivateUsage] - the bare model that ours uses
        evaluation = Evaluation(llama)
        prompts: list[list[int]] = []
        taken = generator.model.prompt

        def remembered(messages: Any) -> list[int]:
            prompts.append(taken(messages))
            return prompts[-1]

        generator.model.prompt = remembered
        for row in rows[:: len(rows) // args.questions][: args.questions]:
            asked_before = len(prompts)
            first_ours = first_piece_of_ragkit(rag, evaluation, row["text"])
            prompt = prompts[asked_before]  # the answer's; the second look has one of its own behind it
            bare = [first_piece_of_llama(evaluation, prompt) for _ in range(2)]
            ours = [first_ours, first_piece_of_ragkit(rag, evaluation, row["text"])]
            assert len({tokens for _, _, tokens in (*ours, *bare)}) == 1
            whole.append(statistics.mean(ms for ms, _, _ in ours) - statistics.mean(ms for ms, _, _ in bare))
            own.append(
                statistics.mean(ms - inside for ms, inside, _ in ours)
                - statistics.mean(ms - inside for ms, inside, _ in bare)
            )
            print(
                f"{len(prompt):5} prompt tokens, bare {bare[0][0]:8.1f} ms, ours {whole[-1]:+8.1f} ms, "
                f"without evaluation {own[-1]:+6.1f} ms"
            )
        for name, differences in (("whole", whole), ("without evaluation", own)):
            spread = mean_interval(differences)
            print(
                f"{name}: median {statistics.median(differences):+.1f} ms, "
                f"mean {spread.mean:+.1f} ms ({spread.low:+.1f} to {spread.high:+.1f}) over {len(whole)} questions"
            )
        first, second = (rag.ask(rows[0]["text"]).usage for _ in range(2))
        print(f"the same question again: {second.cached_tokens} of {second.input_tokens} prompt tokens from the cache")
        other = rag.ask(rows[1]["text"]).usage
        print(f"another question on the same document: {other.cached_tokens} of {other.input_tokens} ({first=})")


class Evaluation:
    """The time and the tokens that llama.cpp evaluates, counted from `forget` on."""

    def __init__(self, llama: Any) -> None:
        self.llama = llama
        self._evaluate = llama.eval
        llama.eval = self._counted
        self.ms, self.tokens = 0.0, 0

    def forget(self) -> None:
        """Empty the cache, but for the first token."""
        self.llama.reset()
        self._evaluate([1])
        self.ms, self.tokens = 0.0, 0

    def _counted(self, tokens: list[int]) -> None:
        began = time.perf_counter()
        self._evaluate(tokens)
        self.ms += (time.perf_counter() - began) * 1e3
        self.tokens += len(tokens)


Measured = tuple[float, float, int]
"""Milliseconds to the first piece, those of them in evaluation, tokens evaluated."""


def first_piece_of_llama(evaluation: Evaluation, prompt: list[int]) -> Measured:
    evaluation.forget()
    rules = llama_cpp.LlamaGrammar.from_string(answer_grammar(3), verbose=False)
    options: dict[str, Any] = {"max_tokens": 24, "temperature": 0.0, "stream": True, "grammar": rules}
    began = time.perf_counter()
    next(iter(evaluation.llama.create_completion(prompt, **options)))
    return (time.perf_counter() - began) * 1e3, evaluation.ms, evaluation.tokens


def first_piece_of_ragkit(rag: Ragkit, evaluation: Evaluation, question: str) -> Measured:
    """The milliseconds are less those of embedding, search and whatever else stands before the model."""
    evaluation.forget()
    began = time.perf_counter()
    stream = rag.stream(question)
    next(stream)
    elapsed, inside, tokens = (time.perf_counter() - began) * 1e3, evaluation.ms, evaluation.tokens
    answer = list(stream)[-1]
    assert isinstance(answer, Answer)
    before = sum(ms for stage, ms in answer.timings_ms.items() if stage not in ("generate", "verify", "total"))
    return elapsed - before, inside, tokens


if __name__ == "__main__":
    main()
