"""Fit what ragkit/generate/second_look.py decides by, and print how it does.

    python scripts/calibrate_second_look.py XQUAD_DIR [--questions 200] [--model NAME ...]

XQUAD_DIR is in BEIR layout (see measure_answers.py). Questions come from its tuning articles only, half of them with
the paragraph that answers taken out. For each the evidence's confidence is computed and the model is asked about the
nearest sentence; a logistic regression over both logits and over all models gives the constants. The rates printed are
leave-one-article-out: each article is judged by constants and a threshold from the others.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import cast

import numpy as np
from calibrate_refusal import Rows, fit, share
from measure_answers import CONFIG, questions_of

from ragkit import Ragkit
from ragkit.ask import sentence_splitter
from ragkit.generate.answerability import confidence
from ragkit.generate.llama_cpp import LlamaCppGenerator
from ragkit.generate.second_look import logit, look_at, yes_or_no

FALSE_REFUSALS = 0.025
SEED = 11


def rows_of(data: Path, model: str, count: int) -> dict[str, Rows]:
    """By article a row for `fit` per question: the logits of confidence and of yes."""
    index = Path(tempfile.gettempdir()) / "ragkit-answers" / "index"
    with Ragkit.from_config(CONFIG, [f"generation.model={model}", f"ingestion.store.path={index}"]) as rag:
        rag.index([data / "corpus.jsonl"])
        llama = cast(LlamaCppGenerator, rag.generator).model
        split, generation = sentence_splitter(rag.config), rag.config.generation
        rows: dict[str, Rows] = defaultdict(list)
        for question in questions_of(data, "tune", count, SEED):
            results = rag.search(question.text, filters=question.filters)
            chunks = [result.chunk for result in results[: generation.context_chunks]]
            nearest = look_at(question.text, chunks, split)
            if nearest is None:
                continue
            yes, _ = llama.share_of_yes(llama.prompt(yes_or_no(generation, question.text, nearest.text)))
            values = (logit(confidence(question.text, results)), logit(yes))
            kind = "answerable" if question.answerable else "paragraph removed"
            article = question.document.partition("#")[2].partition("-")[0]
            rows[article].append((kind, int(question.answerable), values))
    return rows


def report(model: str, rows: dict[str, Rows], everything: list[dict[str, Rows]]) -> None:
    refused: dict[str, list[bool]] = {"answerable": [], "paragraph removed": []}
    for article, here in rows.items():
        weights, intercept, threshold = constants(everything, without=article)
        for kind, _, values in here:
            refused[kind].append(chance(values, weights, intercept) < threshold)
    print(f"\n{model}, each article by the constants of the others")
    print(f"  false refusals    {share(sum(refused['answerable']), len(refused['answerable']))}")
    print(f"  rightly refused   {share(sum(refused['paragraph removed']), len(refused['paragraph removed']))}")


def constants(everything: list[dict[str, Rows]], without: str | None = None) -> tuple[np.ndarray, float, float]:
    rows = [
        row for by_article in everything for article, here in by_article.items() if article != without for row in here
    ]
    fitted = fit(rows, ("answerable", "paragraph removed"))
    weights, intercept = np.asarray(fitted.coefficients), fitted.intercept
    chances = [chance(values, weights, intercept) for kind, _, values in rows if kind == "answerable"]
    return weights, intercept, float(np.quantile(chances, FALSE_REFUSALS))


def chance(values: tuple[float, ...], weights: np.ndarray, intercept: float) -> float:
    return float(1 / (1 + np.exp(-(np.dot(weights, values) + intercept))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--model", action="append", help="names of generation models; both Qwen models if left out")
    given = parser.parse_args()
    models: list[str] = given.model or ["qwen2.5-coder-1.5b-instruct", "qwen2.5-coder-0.5b-instruct"]
    by_model = {model: rows_of(given.data, model, given.questions) for model in models}
    everything = list(by_model.values())
    weights, intercept, threshold = constants(everything)
    print(f"COEFFICIENTS = {tuple(round(float(weight), 2) for weight in weights)}")
    print(f"INTERCEPT = {intercept:.2f}")
    print(f"MIN_CHANCE = {threshold:.2f}")
    for model, rows in by_model.items():
        report(model, rows, everything)


if __name__ == "__main__":
    main()
