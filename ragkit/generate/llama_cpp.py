"""Answers from a GGUF model in this process, by llama.cpp: no server, no GPU needed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace

from ragkit.config.schema import Generation
from ragkit.errors import ModelError
from ragkit.generate.answer_form import Shown, answer_form
from ragkit.generate.answerability import confidence
from ragkit.generate.citation_lifting import without_any
from ragkit.generate.cited_chunks import names_of
from ragkit.generate.fitting import fit
from ragkit.generate.generated import Generated, generated_from, whole_of
from ragkit.generate.llama_model import Completion, LlamaModel
from ragkit.generate.prompt import SplitSentences
from ragkit.generate.second_look import MIN_CHANCE, QUOTED, chance, leaves_doubt, look_at, yes_or_no
from ragkit.types import ScoredChunk, Usage


class LlamaCppGenerator:
    """Writes answers with a model that lies on this machine. One answer at a time; others wait.

    Raises MissingExtra and ModelError when the model cannot be loaded.
    """

    def __init__(self, config: Generation, split_sentences: SplitSentences) -> None:
        self._config = config
        self._split_sentences = split_sentences
        self.model = LlamaModel(config)

    def generate(self, question: str, results: Sequence[ScoredChunk]) -> Generated:
        """The answer at once. Raises ModelError when the question alone is too long for the model."""
        return _last(self._stream(question, results, threading.Event()))

    def write(self, request: str, max_tokens: int) -> tuple[str, Usage]:
        """A text that no documents go into, at temperature 0. Raises ModelError when the request is too long."""
        completion, prompt = Completion(), self.model.prompt([{"role": "user", "content": request}])
        for _ in self.model.complete(prompt, completion, max_tokens=max_tokens, temperature=0.0):
            pass
        return completion.text.strip(), completion.usage

    def stream(self, question: str, results: Sequence[ScoredChunk]) -> Iterator[str | Generated]:
        """Pieces of the text, then the whole. To give up, close the iterator: the model is free at once."""
        return self._stream(question, results, threading.Event())

    async def agenerate(self, question: str, results: Sequence[ScoredChunk]) -> Generated:
        """Like `generate`, without blocking the event loop. A cancelled task frees the model within a moment."""
        given_up = threading.Event()
        loop = asyncio.get_running_loop()
        with _thread_of_its_own() as thread:
            try:
                return await loop.run_in_executor(thread, lambda: _last(self._stream(question, results, given_up)))
            finally:
                given_up.set()

    async def astream(self, question: str, results: Sequence[ScoredChunk]) -> AsyncIterator[str | Generated]:
        """Like `stream`, without blocking the event loop."""
        given_up = threading.Event()
        pieces = self._stream(question, results, given_up)
        loop = asyncio.get_running_loop()
        with _thread_of_its_own() as thread:
            try:
                while (piece := await loop.run_in_executor(thread, next, pieces, None)) is not None:
                    yield piece
            finally:
                given_up.set()
                with suppress(ValueError):  # Still running in its thread, which sees that it was given up.
                    pieces.close()

    def _stream(
        self, question: str, results: Sequence[ScoredChunk], given_up: threading.Event
    ) -> Generator[str | Generated]:
        config = self._config
        model = self.model
        packed, prompt = fit(question, results, config, model.window, model.count, model.prompt, self._split_sentences)
        completion, shown = Completion(), Shown(config.citations)
        for piece in model.complete(
            prompt,
            completion,
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            stop=config.stop,
            form=answer_form(config.citations, len(packed.chunks)),
            wanted=lambda: not given_up.is_set(),
        ):
            if added := shown.add(piece):
                yield added
        text = Shown(config.citations, completion.text).whole()
        if not text:
            raise ModelError(
                f"{config.model} gave an empty answer (finish_reason {completion.finish_reason})",
                mend="raise generation.max_tokens, or take another model",
            )
        generated = generated_from(
            text,
            usage=completion.usage,
            model=config.model or "",
            finish_reason=completion.finish_reason,
            used=packed.chunks,
            notes=packed.notes,
        )
        if config.refusal.ask_model and not generated.refused:
            looked_at = self._look_again(question, results, generated, lambda: not given_up.is_set())
            if quoted := looked_at.text.removeprefix(generated.text):
                yield quoted
            generated = looked_at
        yield generated

    def _look_again(
        self, question: str, results: Sequence[ScoredChunk], generated: Generated, wanted: Callable[[], bool]
    ) -> Generated:
        """The answer as a refusal if the model doubts that there is one, else with the sentence that it should hold."""
        nearest = look_at(question, generated.used, self._split_sentences)
        if nearest is None:
            return generated
        asked = self.model.prompt(yes_or_no(self._config, question, nearest.text))
        yes, usage = self.model.share_of_yes(asked, wanted)
        usage = generated.usage + usage
        if chance(confidence(question, results), yes) < MIN_CHANCE:
            return replace(generated, usage=usage, refused=True)
        said = without_any(generated.text, generated.used, names_of(generated.used))
        if not leaves_doubt(said, nearest, generated.used, self._split_sentences):
            return replace(generated, usage=usage)
        text = f"{generated.text}\n{nearest.text} [{nearest.number}]"
        return replace(generated, text=text, usage=usage, notes=(*generated.notes, QUOTED))


@contextmanager
def _thread_of_its_own() -> Generator[ThreadPoolExecutor]:
    """One thread that no other answer needs: those that wait for the model must not hold the thread that the one who
    has it goes on with."""
    executor = ThreadPoolExecutor(1, thread_name_prefix="ragkit-llama")
    try:
        yield executor
    finally:
        executor.shutdown(wait=False)


def _last(pieces: Iterator[str | Generated]) -> Generated:
    last: str | Generated = ""
    for piece in pieces:
        last = piece
    return whole_of(last)
