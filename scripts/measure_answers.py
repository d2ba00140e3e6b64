"""Answers of local language models over an index of XQuAD-en: are they right, rightly cited, rightly refused?

    python scripts/measure_answers.py XQUAD_DIR [--model NAME ...] [--part test] [--questions 60] [--set KEY=VALUE ...]

XQUAD_DIR is in BEIR layout with `answers` in the queries' metadata. The first half of the questions is asked as it is,
the second half with the paragraph that answers it left out (its article's other paragraphs stay). Part `tune` are the
articles 0 to 23, part `test` the articles 24 to 47; prompts and settings were chosen on `tune` only.

For each model two systems answer the same questions over the same first three passages: ragkit under
configs/local-llm.yaml, and the bare model under the strict prompt of the defaults, called through llama-cpp-python
without any of ragkit's checks. Prints, with 95% Wilson intervals:
    contained   answers with a gold answer in their text, of the answerable
    cited       of these, the ones that cite the paragraph that answers
    refused     of the questions without their paragraph
    false       refusals of answerable questions
    early       refusals before the model was asked anything, and the seconds that this saves of all questions' time:
                for each of them the median time of a question that the model was asked
`--gates 0.05 0.1` adds what ragkit's answers come to with these values of generation.refusal.max_false_refusals.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ragkit import Filter, Ragkit
from ragkit.config.schema import DEFAULT_SYSTEM_PROMPT, Generation, Refusal
from ragkit.evaluate.statistics import share_interval
from ragkit.generate.answerability import least_confidence
from ragkit.generate.citation_format import format_citation
from ragkit.generate.generated import is_refusal
from ragkit.models.resolve import resolve
from ragkit.types import Answer, Usage

CONFIG = Path(__file__).parent.parent / "configs" / "local-llm.yaml"
FIRST_TEST_ARTICLE = 24
PASSAGES = 3


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its gold answers, and the row of the corpus that answers it, which may be taken away."""

    text: str
    answers: tuple[str, ...]
    document: str
    answerable: bool

    @property
    def filters(self) -> list[Filter]:
        gone = Filter.model_validate({"not": {"field": "source_document", "eq": self.document}})
        return [] if self.answerable else [gone]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one question went. `resolving` of `citations` point at characters of a passage that was in the prompt;
    `unchecked` brackets of the text are neither citations that were checked nor stand in a passage; `elsewhere`
    citations point at another document than the labelled one; `early` refusals cost no token, and are
    decided by `confidence`, that of the evidence."""

    refused: bool
    contained: bool
    cited: bool
    seconds: float
    text: str
    citations: int = 0
    resolving: int = 0
    unchecked: int = 0
    elsewhere: int = 0
    early: bool = False
    confidence: float = 0.0


def questions_of(data: Path, part: str, count: int, seed: int) -> list[Question]:
    qrels = dict(line.split("\t")[:2] for line in (data / "qrels/test.tsv").read_text().splitlines()[1:])
    rows = [json.loads(line) for line in (data / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    in_part = [row for row in rows if (int(qrels[row["_id"]].split("-")[0]) >= FIRST_TEST_ARTICLE) == (part == "test")]
    chosen = random.Random(seed).sample(in_part, count)
    return [
        Question(
            row["text"], tuple(row["metadata"]["answers"]), f"corpus.jsonl#{qrels[row['_id']]}", index < count // 2
        )
        for index, row in enumerate(chosen)
    ]


def contains(text: str, answers: tuple[str, ...]) -> bool:
    """Whether a gold answer stands in the text, by SQuAD's normalisation: case, articles and punctuation aside."""
    said = f" {normalised(text)} "
    return any(f" {normalised(answer)} " in said for answer in answers)


def normalised(text: str) -> str:
    words = re.sub(r"[^\w\s]", " ", text.casefold()).split()
    return " ".join(word for word in words if word not in ("a", "an", "the"))


def by_ragkit(rag: Ragkit, question: Question) -> Outcome:
    began = time.perf_counter()
    answer = rag.ask(question.text, filters=question.filters)
    seconds = time.perf_counter() - began
    plain = re.sub(r"\[Source: [^\]]*\]", " ", answer.text)
    return Outcome(
        answer.refused,
        not answer.refused and contains(plain, question.answers),
        any(citation.source_document == question.document for citation in answer.citations),
        seconds,
        answer.text,
        len(answer.citations),
        resolving(rag, answer),
        unchecked(answer),
        sum(citation.source_document != question.document for citation in answer.citations),
        answer.refused and answer.usage == Usage(),
        answer.confidence or 0.0,
    )


def resolving(rag: Ragkit, answer: Answer) -> int:
    """Citations whose characters stand in their document and whose chunk was in the prompt."""
    good = 0
    for citation in answer.citations:
        document = rag.document(citation.source_document)
        text = document.text[citation.start : citation.end] if document else None
        good += text == citation.quote and citation.chunk_id in answer.context
    return good


def unchecked(answer: Answer) -> int:
    """Brackets that a reader may take for citations, found without the code that checks them."""
    written = {
        format_citation(citation.source_document, citation.page_number, citation.section_heading)
        for citation in answer.citations
    }
    text = answer.text
    for citation in written:
        text = text.replace(citation, " ")
    passages = "\n".join(result.chunk.text for result in answer.results)
    brackets = re.findall(r"[\[【［][^\]】］]*[\]】］]|\(sources?:[^)]*\)", text, re.IGNORECASE)
    return sum(bracket not in passages for bracket in brackets)


def by_bare_model(llama: Any, rag: Ragkit, question: Question) -> Outcome:
    """The strict prompt and the passages by name, and nothing else."""
    results = rag.search(question.text, filters=question.filters)[:PASSAGES]
    passages = "\n\n".join(f"Document: {r.chunk.source_document}\n{r.chunk.text}" for r in results)
    began = time.perf_counter()
    reply = llama.create_chat_completion(
        [
            {"role": "system", "content": DEFAULT_SYSTEM_PROMPT},
            {"role": "user", "content": f"Context:\n{passages}\n\nQuestion: {question.text}"},
        ],
        temperature=0.0,
        max_tokens=rag.config.generation.max_tokens,
    )
    seconds = time.perf_counter() - began
    text: str = reply["choices"][0]["message"]["content"]
    cited = re.findall(r"\[Source: *([^\],]+)", text)
    plain = re.sub(r"\[Source: [^\]]*\]", " ", text)
    refused = is_refusal(plain)
    return Outcome(
        refused,
        not refused and contains(plain, question.answers),
        question.document in cited,
        seconds,
        text,
    )


def measure(
    answer: Callable[[Question], Outcome], questions: list[Question], label: str, gates: Sequence[float] = ()
) -> list[dict[str, Any]]:
    outcomes: list[Outcome] = []
    for question in questions:
        outcomes.append(answer(question))
        print(
            json.dumps(
                {
                    "system": label,
                    "question": question.text,
                    "answerable": question.answerable,
                    "gold": question.answers,
                    **{k: getattr(outcomes[-1], k) for k in Outcome.__slots__},
                }
            ),
            flush=True,
        )
    pairs = list(zip(questions, outcomes, strict=True))
    answerable = [outcome for question, outcome in pairs if question.answerable]
    contained = [outcome for outcome in answerable if outcome.contained]
    removed = [outcome for question, outcome in pairs if not question.answerable]
    row = {
        "system": label,
        "contained": share(sum(o.contained for o in answerable), len(answerable)),
        "cited": share(sum(o.cited for o in contained), len(contained)),
        "refused": share(sum(o.refused for o in removed), len(removed)),
        "false": share(sum(o.refused for o in answerable), len(answerable)),
        "seconds": f"{statistics.median(o.seconds for o in outcomes if not o.refused):.1f}",
        "resolving": f"{sum(o.resolving for o in outcomes)} of {sum(o.citations for o in outcomes)}",
        "unchecked": str(sum(o.unchecked for o in outcomes)),
        "early": early(outcomes),
        "elsewhere": f"{sum(o.elsewhere for o in contained)} of {sum(o.citations for o in contained)}",
    }
    return [row, *(dict.fromkeys(row, "") | behind(outcomes, label, most) for most in gates)]


def early(outcomes: list[Outcome]) -> str:
    asked = [outcome.seconds for outcome in outcomes if not outcome.early]
    refused = [outcome.seconds for outcome in outcomes if outcome.early]
    if not asked or not refused:
        return str(len(refused))
    saved = len(refused) * statistics.median(asked) - sum(refused)
    return f"{len(refused)}, saves {saved:.0f} s of {sum(asked) + sum(refused) + saved:.0f}"


def behind(outcomes: list[Outcome], label: str, most: float) -> dict[str, str]:
    """What the same answers come to behind a gate that may refuse so many answerable questions: it refuses before the
    model is asked, and changes nothing else."""
    least = least_confidence(Generation(refusal=Refusal(max_false_refusals=most)))
    early = [outcome.confidence < least for outcome in outcomes]
    refused = [gate or outcome.refused for gate, outcome in zip(early, outcomes, strict=True)]
    contained = [outcome.contained and not gate for gate, outcome in zip(early, outcomes, strict=True)]
    half = len(outcomes) // 2
    return {
        "system": f"{label}, max_false_refusals {most:g}",
        "contained": share(sum(contained[:half]), half),
        "refused": share(sum(refused[half:]), len(outcomes) - half),
        "false": share(sum(refused[:half]), half),
        "early": str(sum(early)),
    }


def share(count: int, of: int) -> str:
    if not of:
        return "-"
    found = share_interval(count, of)
    return f"{count}/{of} = {found.mean:.2f} ({found.low:.2f} to {found.high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", action="append", help="names of generation models; both Qwen models if left out")
    parser.add_argument("--part", choices=("tune", "test"), default="test")
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--system", choices=("ragkit", "bare", "both"), default="both")
    parser.add_argument("--gates", type=float, nargs="*", default=[], help="values of max_false_refusals")
    parser.add_argument("--set", action="append", default=[], help="override of configs/local-llm.yaml")
    args = parser.parse_args()
    questions = questions_of(args.data, args.part, args.questions, args.seed)
    rows: list[dict[str, Any]] = []
    for model in args.model or ["qwen2.5-coder-1.5b-instruct", "qwen2.5-coder-0.5b-instruct"]:
        weights = resolve(model).weights
        index = Path(tempfile.gettempdir()) / "ragkit-answers" / "index"
        overrides = [f"generation.model={model}", f"ingestion.store.path={index}", *args.set]
        with Ragkit.from_config(CONFIG, overrides) as rag:
            rag.index([args.data / "corpus.jsonl"])
            if args.system != "bare":
                rows += measure(lambda q, rag=rag: by_ragkit(rag, q), questions, f"{model}, ragkit", args.gates)
            if args.system != "ragkit":
                import llama_cpp

                # The library's own default is half of the cores; seconds are compared at the same threads.
                llama = llama_cpp.Llama(str(weights), n_ctx=4096, n_threads=os.cpu_count(), verbose=False)
                rows += measure(lambda q, r=rag, m=llama: by_bare_model(m, r, q), questions, f"{model}, bare")
    table = Table(title=f"{args.questions} questions of XQuAD-en, part {args.part}, half without their paragraph")
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*row.values())
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
