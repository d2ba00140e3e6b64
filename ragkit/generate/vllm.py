"""Answers from a model that vLLM runs on this machine, without a server; the GPU and the CPU build of vLLM both do.

The prompt is made by the model's own chat template and counted by its own tokenizer, so that what does not fit is left
out here instead of being refused there.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from ragkit.config.schema import Generation
from ragkit.errors import MissingExtra, ModelError, ServiceError
from ragkit.generate.answer_form import Shown, answer_form
from ragkit.generate.fitting import fit, rendered
from ragkit.generate.generated import Generated, generated_from, whole_of
from ragkit.generate.prompt import Marks, Message, Packed, SplitSentences
from ragkit.generate.vllm_engine import Piece, Sampling, Tokenizer, VllmEngine
from ragkit.models.cache import model_folder_in_cache
from ragkit.models.catalogue import Model
from ragkit.models.reference import parse_reference
from ragkit.models.resolve import find, out_of_reach
from ragkit.models.task import check_listed
from ragkit.types import ScoredChunk, Usage

_BESIDE_CONTEXT = 1024  # tokens of the window for the question, the frame of the prompt and the template


def load_engine(config: Generation, options: Mapping[str, object] | None = None) -> VllmEngine:
    """Load the configured model; it stays loaded until the engine is closed or forgotten.

    Args:
        config: `model` is a folder in the format of transformers or a reference (see `ragkit.models`).
        options: Further arguments of vLLM's engine, e.g. `{"gpu_memory_utilization": 0.5}`.

    Raises:
        MissingExtra: vLLM is not installed.
        ModelError: The model is not on this machine, or does not fit the memory.
    """
    if find_spec("vllm") is None:
        raise MissingExtra("vllm", "vllm")
    wanted = config.context_tokens + config.max_tokens + len(config.system_prompt) + _BESIDE_CONTEXT
    return VllmEngine(model_folder(config.model or ""), wanted, options or {})


class VllmGenerator:
    """Answers of a chat model that vLLM runs for this process alone.

    Raises ModelError if the model has no chat template.
    """

    def __init__(self, config: Generation, split_sentences: SplitSentences, engine: VllmEngine) -> None:
        self._config = config
        self._split_sentences = split_sentences
        self._engine = engine
        self._prompts = ChatPrompts(engine.tokenizer, config.model or "")

    def generate(self, question: str, results: Sequence[ScoredChunk]) -> Generated:
        """The answer at once. Raises ServiceError when the engine fails, ModelError for a question that is too long."""
        last: str | Generated = ""
        for piece in self.stream(question, results):
            last = piece
        return whole_of(last)

    async def agenerate(self, question: str, results: Sequence[ScoredChunk]) -> Generated:
        """Like `generate`, without blocking the event loop."""
        last: str | Generated = ""
        async for piece in self.astream(question, results):
            last = piece
        return whole_of(last)

    def stream(self, question: str, results: Sequence[ScoredChunk]) -> Iterator[str | Generated]:
        """Pieces of the text as they come, and last the whole. A stream that is closed stops the model."""
        asked = self._ask(question, results)
        for piece in self._engine.stream(asked.token_ids, self._sampling(asked)):
            if text := asked.take(piece):
                yield text
        yield asked.generated()

    async def astream(self, question: str, results: Sequence[ScoredChunk]) -> AsyncIterator[str | Generated]:
        """Like `stream`, without blocking the event loop."""
        asked = self._ask(question, results)
        async for piece in self._engine.astream(asked.token_ids, self._sampling(asked)):
            if text := asked.take(piece):
                yield text
        yield asked.generated()

    def _ask(self, question: str, results: Sequence[ScoredChunk]) -> _Asked:
        """The prompt with as many of the results as fit the configured budget and the model's window."""
        config, prompts = self._config, self._prompts
        packed, prompt = fit(
            question, results, config, self._engine.window, prompts.count, prompts.encode, self._split_sentences
        )
        return _Asked(tuple(prompt), packed, config.model or "", Shown(config.citations))

    def _sampling(self, asked: _Asked) -> Sampling:
        config = self._config
        form = answer_form(config.citations, len(asked.packed.chunks))
        return Sampling(config.temperature, config.max_tokens, tuple(config.stop), form)


@dataclass(slots=True)
class _Asked:
    """A question on its way: its prompt, and the answer as far as it has come."""

    token_ids: tuple[int, ...]
    packed: Packed
    model: str
    shown: Shown
    last: Piece = field(default_factory=lambda: Piece("", 0, 0, ""))

    def take(self, piece: Piece) -> str:
        """Add a piece; returns its text as the reader may see it."""
        self.last = replace(piece, cached_tokens=max(piece.cached_tokens, self.last.cached_tokens))
        return self.shown.add(piece.text)

    def generated(self) -> Generated:
        text = self.shown.whole()
        if not text:
            raise ServiceError(
                f"{self.model} gave an empty answer (finish_reason {self.last.finish_reason})",
                mend="raise generation.max_tokens" if self.last.finish_reason == "length" else "ask again",
            )
        return generated_from(
            text,
            usage=Usage(len(self.token_ids), self.last.output_tokens, self.last.cached_tokens),
            model=self.model,
            finish_reason=self.last.finish_reason,
            used=self.packed.chunks,
            notes=self.packed.notes,
        )


class ChatPrompts:
    """Messages to token ids by a model's own chat template, without letting a message end itself.

    A template writes special tokens (`<|im_end|>`) as text around the messages and the tokenizer reads them from that
    text, so a document that contains them could close its message and open one of the system's. In all but the system
    prompt they are broken by an invisible character, as `ragkit.generate.prompt.neutralise` does it with our own marks.

    Raises ModelError if the model has no chat template.
    """

    def __init__(self, tokenizer: Tokenizer, model: str) -> None:
        if not tokenizer.chat_template:
            raise ModelError(f"{model} has no chat template", mend="take a model that is made for chat (instruct)")
        self._tokenizer = tokenizer
        self._marks = Marks(str(token) for token in tokenizer.added_tokens_decoder.values() if _is_mark(token))

    def count(self, text: str) -> int:
        """Tokens of a text as it stands in the prompt."""
        return len(self._tokenizer.encode(self._marks.broken(text), add_special_tokens=False))

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The prompt, up to where the model's answer begins. Raises ModelError if the template fails."""
        return self._tokenizer.encode(
            rendered(self._marks.all_broken(messages), self._template), add_special_tokens=False
        )

    def _template(self, conversation: Sequence[Mapping[str, str]]) -> str:
        return self._tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)


def _is_mark(token: object) -> bool:
    """Whether an added token steers the model: the special ones, and those written like them (`<|...|>`)."""
    return bool(getattr(token, "special", False)) or re.fullmatch(r"<\|.+\|>", str(token)) is not None


def model_folder(reference: str) -> Path:
    """The folder of a model in the format of transformers, on this machine.

    A catalogue model that is here as GGUF only is looked for as `scripts/vllm_model.py` writes it.

    Raises:
        ModelError: There is no such model, it is not on this machine, or vLLM cannot read its format.
    """
    check_listed(reference, "generation")
    wanted = parse_reference(reference)
    if isinstance(wanted, Model):
        converted = model_folder_in_cache(f"vllm/{wanted.name}")
        if (converted / "config.json").is_file():
            return converted
    found = find(wanted)
    if found is None:
        raise out_of_reach(wanted)
    if not (found.folder / "config.json").is_file():
        raise ModelError(
            f"{reference} is no model in the format of transformers: there is no {found.folder / 'config.json'}",
            mend="name such a folder; scripts/vllm_model.py makes one of a GGUF model of the list",
        )
    return found.folder
