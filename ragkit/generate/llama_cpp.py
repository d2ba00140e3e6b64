"""Answers from a GGUF model in this process, by llama.cpp: no server, no GPU needed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import suppress

from ragkit.config.schema import Generation
from ragkit.errors import ModelError
from ragkit.generate.answer_form import Shown, answer_form
from ragkit.generate.generated import Generated, generated_from, whole_of
from ragkit.generate.llama_model import Completion, LlamaModel
from ragkit.generate.prompt import Message, Packed, SplitSentences, build_messages, pack, render_blocks
from ragkit.generate.sentence_terms import nearest_to
from ragkit.types import Chunk, ScoredChunk

_LEAST_ROOM = 96  # tokens: a passage of a few sentences


class LlamaCppGenerator:
    """Writes answers with a model that lies on this machine. One answer at a time; others wait.

    Raises MissingExtra and ModelError when the model cannot be loaded.
    """

    def __init__(self, config: Generation, split_sentences: SplitSentences) -> None:
        self._config = config
        self._split_sentences = split_sentences
        self._model = LlamaModel(config)

    def generate(self, question: str, results: Sequence[ScoredChunk]) -> Generated:
        """The answer at once. Raises ModelError when the question alone is too long for the model."""
        return _last(self._stream(question, results, threading.Event()))

    def stream(self, question: str, results: Sequence[ScoredChunk]) -> Iterator[str | Generated]:
        """Pieces of the text, then the whole. To give up, close the iterator: the model is free at once."""
        return self._stream(question, results, threading.Event())

    async def agenerate(self, question: str, results: Sequence[ScoredChunk]) -> Generated:
        """Like `generate`, without blocking the event loop. A cancelled task frees the model within a moment."""
        given_up = threading.Event()
        try:
            return await asyncio.to_thread(lambda: _last(self._stream(question, results, given_up)))
        finally:
            given_up.set()

    async def astream(self, question: str, results: Sequence[ScoredChunk]) -> AsyncIterator[str | Generated]:
        """Like `stream`, without blocking the event loop."""
        given_up = threading.Event()
        pieces = self._stream(question, results, given_up)
        try:
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                yield piece
        finally:
            given_up.set()
            with suppress(ValueError):  # Still running in its thread, which sees that it was given up.
                pieces.close()

    def _stream(
        self, question: str, results: Sequence[ScoredChunk], given_up: threading.Event
    ) -> Generator[str | Generated]:
        config = self._config
        packed = self._pack(question, results)
        messages = self._messages(question, packed.chunks)
        completion, shown = Completion(), Shown(config.citations)
        for piece in self._model.complete(
            self._model.prompt(messages),
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
        yield generated_from(
            text,
            usage=completion.usage,
            model=config.model or "",
            finish_reason=completion.finish_reason,
            used=packed.chunks,
            notes=packed.notes,
        )

    def _messages(self, question: str, chunks: Sequence[Chunk]) -> list[Message]:
        nearest = nearest_to(question, chunks, self._config.citations, self._split_sentences)
        return build_messages(self._config, question, chunks, nearest)

    def _pack(self, question: str, results: Sequence[ScoredChunk]) -> Packed:
        """The passages that fit beside the system prompt, the question and the answer."""
        config = self._config
        bare = self._messages(question, [result.chunk for result in results[:1]])
        fixed = len(self._model.prompt(bare)) - (
            self._model.count(render_blocks([results[0].chunk], config.citations)) if results else 0
        )
        room = self._model.window - config.max_tokens - fixed
        if room < _LEAST_ROOM:
            raise ModelError(
                f"the question leaves no room for passages: it and the system prompt take {fixed:,} tokens of a window"
                f" of {self._model.window:,}, and the answer {config.max_tokens:,}",
                mend="ask a shorter question, or lower generation.max_tokens",
            )
        budget = min(config.context_tokens, room)
        return pack(results, budget, config.context_chunks, self._model.count, self._split_sentences, config.citations)


def _last(pieces: Iterator[str | Generated]) -> Generated:
    last: str | Generated = ""
    for piece in pieces:
        last = piece
    return whole_of(last)
