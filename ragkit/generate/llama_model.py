"""A GGUF model in this process, by llama.cpp: from messages to pieces of text, one answer at a time.

What the model has evaluated stays in its memory, and the next prompt is evaluated only from where it differs. That must
not change the answer: the kernels work on 16 tokens at once and round otherwise where a part ends elsewhere, and a part
of less than 8. So the common beginning is reused in whole steps of 16, at least 16 tokens are evaluated again, and an
answer is the same with and without it.
"""

from __future__ import annotations

import codecs
import ctypes
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ragkit.config.schema import Generation
from ragkit.errors import MissingExtra, ModelError
from ragkit.generate.fitting import rendered
from ragkit.generate.prompt import Marks, Message
from ragkit.generate.repetition import repeated_from
from ragkit.types import Usage

if TYPE_CHECKING:
    from collections.abc import Generator

_STEP = 16
_BATCH = 128  # prompt tokens between two looks at whether the answer is still wanted
_ROOM = 768  # tokens of the window beside context and answer: system prompt, question, the template's own
_LONGEST_WINDOW = 131_072  # its memory is taken at once
_SEED = 7
_PATIENCE_S = 30.0  # how long others wait for an answer whose reader takes no further piece
_YES_NO = (("yes", "Yes"), ("no", "No"))


@dataclass(slots=True)
class Completion:
    """An answer as it grows. `text` has no stop text and no repetition; `finish_reason` is empty until the end."""

    text: str = ""
    finish_reason: str = ""
    usage: Usage = field(default_factory=Usage)


class LlamaModel:
    """A loaded model. Safe to use from several threads, which wait for one another.

    Raises:
        MissingExtra: llama-cpp-python is not installed.
        ModelError: The reference names no GGUF file on this machine, or llama.cpp cannot read it.
    """

    def __init__(self, config: Generation) -> None:
        try:
            import llama_cpp
        except ImportError:
            raise MissingExtra("llama-cpp-python", "llama-cpp") from None
        self._api: Any = llama_cpp
        path = gguf_file(config.model or "")
        threads = config.threads or os.cpu_count() or 1
        options: dict[str, Any] = {"n_threads": threads, "n_threads_batch": threads, "n_gpu_layers": config.gpu_layers}
        window = min(config.context_tokens + config.max_tokens + _ROOM, _LONGEST_WINDOW)
        try:
            self._llama: Any = llama_cpp.Llama(path, n_ctx=window, n_batch=_BATCH, seed=_SEED, verbose=False, **options)
        except (ValueError, OSError) as error:
            raise ModelError(
                f"llama.cpp cannot load {path}: {error}", mend="it must be a GGUF file: ragkit models list"
            ) from error
        trained = int(self._llama.metadata.get(f"{self._llama.metadata.get('general.architecture')}.context_length", 0))
        self.window = min(window, trained or window)
        self._template = _chat_template(self._llama, path)
        self._marks = Marks(_control_tokens(llama_cpp, self._llama))
        self._lock = threading.Lock()
        self._paused: float | None = None  # since when the reader of a stream has not asked for its next piece

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return len(self._llama.tokenize(text.encode(), add_bos=False, special=False))

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """The tokens of a conversation, by the model's own chat template. Raises ModelError if that fails.

        What the model reads as a mark of its template is broken in all but the system prompt.
        """
        safe = self._marks.all_broken(messages)
        written = rendered(safe, lambda conversation: self._template(messages=conversation).prompt)
        return self._llama.tokenize(written.encode(), add_bos=False, special=True)

    def complete(
        self,
        prompt: list[int],
        completion: Completion,
        *,
        max_tokens: int,
        temperature: float,
        stop: Sequence[str] = (),
        form: str | dict[str, Any] | None = None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> Iterator[str]:
        """Pieces of the answer to a prompt, which `completion` holds whole. Ends early when it is not `wanted`.

        `form` is a grammar (GBNF) or a JSON schema that the answer is held to. A model that starts to say the same
        again and again is stopped, with the finish reason "repetition".
        """
        with self._turn(wanted) as has_turn:
            if not has_turn or not self._read(prompt, completion, wanted):
                completion.finish_reason = "cancelled"
                return
            held = ""  # the end of the text that may be the beginning of a stop text
            for piece in self._pieces(prompt, completion, max_tokens, temperature, form):
                if not wanted():
                    completion.finish_reason = "cancelled"
                    return
                text, held, is_over = _until_stop(held + piece, stop)
                completion.text += text
                if text:
                    self._paused = time.monotonic()
                    yield text
                    self._paused = None
                if is_over:
                    completion.finish_reason = "stop"
                    return
                repeated = repeated_from(completion.text) if text else None
                if repeated is not None:
                    completion.text = completion.text[:repeated].rstrip()
                    completion.finish_reason = "repetition"
                    return
            if held:
                completion.text += held
                self._paused = time.monotonic()
                yield held

    def share_of_yes(self, prompt: list[int], wanted: Callable[[], bool] = lambda: True) -> tuple[float, Usage]:
        """How much of the chance of the model's first word is on "yes", of that on "yes" and "no" together: 0 to 1.

        0.5 for a model that has neither in mind, or when the answer was given up meanwhile. The prompt that the model
        had evaluated before stays so, for a question over the same passages is likelier than this one again.
        """
        read = Completion()
        with self._turn(wanted) as has_turn:
            if not has_turn:
                return 0.5, read.usage
            with self._kept():
                return self._share_of_yes(prompt, read, wanted), read.usage

    def _share_of_yes(self, prompt: list[int], read: Completion, wanted: Callable[[], bool]) -> float:
        if not self._read(prompt, read, wanted):
            return 0.5
        self._llama.eval(prompt[self._llama.n_tokens :])
        chances = self._chances()
        yes, no = (sum(chances[self._first_token(word)] for word in words) for words in _YES_NO)
        return float(yes / (yes + no)) if yes + no > 0 else 0.5

    @contextmanager
    def _kept(self) -> Generator[None]:
        """What the model has evaluated is put back at the end: some 30 kB a token of a 1.5B model are copied."""
        llama, api, context = self._llama, self._api, self._llama._ctx.ctx
        size = api.llama_state_seq_get_size(context, 0)
        memory = (ctypes.c_uint8 * size)()
        api.llama_state_seq_get_data(context, memory, size, 0)
        tokens, count = llama.input_ids.copy(), llama.n_tokens
        try:
            yield
        finally:
            kept = api.llama_state_seq_set_data(context, memory, size, 0) == size
            llama.input_ids[:] = tokens
            llama.n_tokens = count if kept else 0

    def _chances(self) -> Any:
        """Of each token of the vocabulary to be the next one, up to a factor."""
        import numpy as np

        logits = np.ctypeslib.as_array(self._llama._ctx.get_logits(), (self._llama.n_vocab(),)).astype(np.float64)
        return np.exp(logits - logits.max())

    def _first_token(self, word: str) -> int:
        return int(self._llama.tokenize(word.encode(), add_bos=False, special=False)[0])

    def _read(self, prompt: list[int], completion: Completion, wanted: Callable[[], bool]) -> bool:
        """Evaluate all of the prompt but its last part; False if the answer was given up meanwhile."""
        llama = self._llama
        common = _common(llama.input_ids[: llama.n_tokens].tolist(), prompt)
        kept = max(0, min(common, len(prompt) - _STEP) // _STEP * _STEP)
        completion.usage = Usage(len(prompt), 0, kept)
        llama.n_tokens = kept
        # Parts end at the same tokens wherever the first one begins.
        for end in range((kept // _BATCH + 1) * _BATCH, len(prompt), _BATCH):
            if not wanted():
                return False
            llama.eval(prompt[llama.n_tokens : end])
        return wanted()

    def _pieces(
        self,
        prompt: list[int],
        completion: Completion,
        max_tokens: int,
        temperature: float,
        form: str | dict[str, Any] | None,
    ) -> Iterator[str]:
        """Text as the model writes it, token by token; characters of several tokens come when they are whole."""
        llama, decoder = self._llama, codecs.getincrementaldecoder("utf-8")("replace")
        llama.set_seed(_SEED)
        grammars = self._api.LlamaGrammar
        rules = (
            grammars.from_string(form, verbose=False)
            if isinstance(form, str)
            else form and grammars.from_json_schema(json.dumps(form), verbose=False)
        )
        tokens = llama.generate(prompt[llama.n_tokens :], temp=temperature, reset=False, grammar=rules)
        for written, token in enumerate(tokens, start=1):
            if self._api.llama_vocab_is_eog(llama._model.vocab, token):
                completion.finish_reason = "stop"
                break
            completion.usage = Usage(len(prompt), written, completion.usage.cached_tokens)
            piece = decoder.decode(llama.detokenize([token]))
            if piece:
                yield piece
            if written >= max_tokens:
                completion.finish_reason = "length"
                break
        tokens.close()
        rest = decoder.decode(b"", final=True)
        if rest:
            yield rest

    @contextmanager
    def _turn(self, wanted: Callable[[], bool]) -> Generator[bool]:
        """Wait for the model; False if the answer was given up before.

        Nobody must wait for ever for a stream that was left lying, least of all the thread or the event loop that
        would have to read it on.
        """
        while not self._lock.acquire(timeout=0.1):
            if not wanted():
                yield False
                return
            paused = self._paused
            if paused is not None and time.monotonic() - paused > _PATIENCE_S:
                raise ModelError(
                    f"another answer of the model has been left unread for {_PATIENCE_S:g} s",
                    mend="read its stream to the end, or close it",
                )
        try:
            yield True
        except (RuntimeError, ValueError) as error:  # llama.cpp's: a batch it cannot decode
            raise ModelError(f"llama.cpp gave no answer: {error}", mend="ask again, or take another model") from error
        finally:
            self._paused = None
            self._lock.release()


def gguf_file(reference: str) -> str:
    """The path of a model on this machine, its bytes checked where the catalogue knows them.

    Raises ModelError if it is not here, or is no GGUF file.
    """
    from ragkit.models.resolve import on_this_machine
    from ragkit.models.task import check_listed

    check_listed(reference, "generation")
    found = on_this_machine(reference)
    if found.weights.suffix != ".gguf":
        raise ModelError(
            f"{reference} has no GGUF file, which is what llama.cpp reads: {found.weights.name}",
            mend="name one of the generation models of: ragkit models list",
        )
    return str(found.weights)


def _chat_template(llama: Any, path: str) -> Any:
    """The model's own template, which comes with it; Jinja runs it in a sandbox."""
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    template = llama.metadata.get("tokenizer.chat_template")
    if template is None:
        raise ModelError(
            f"{path} has no chat template, so it is no instruct model", mend="take one whose name says instruct or chat"
        )
    eos, bos = (
        llama._model.token_get_text(token) if token != -1 else "" for token in (llama.token_eos(), llama.token_bos())
    )
    return Jinja2ChatFormatter(template=template, eos_token=eos, bos_token=bos)


def _control_tokens(api: Any, llama: Any) -> set[str]:
    """The texts of all tokens that steer a model rather than mean themselves."""
    kinds = api.LLAMA_TOKEN_ATTR_CONTROL | api.LLAMA_TOKEN_ATTR_USER_DEFINED | api.LLAMA_TOKEN_ATTR_UNKNOWN
    vocab = llama._model.vocab
    steering = (token for token in range(llama.n_vocab()) if api.llama_vocab_get_attr(vocab, token) & kinds)
    return {api.llama_vocab_get_text(vocab, token).decode("utf-8", "replace") for token in steering}


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the common beginning."""
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    return length


def _until_stop(text: str, stop: Sequence[str]) -> tuple[str, str, bool]:
    """What can be shown, what must wait because a stop text may begin there, and whether one stands here.

    >>> _until_stop("10 hours.\\nQues", ["\\nQuestion"]), _until_stop("10 hours.\\nQuestion: b", ["\\nQuestion"])
    (('10 hours.', '\\nQues', False), ('10 hours.', '', True))
    """
    places = [text.find(ending) for ending in stop if ending in text]
    if places:
        return text[: min(places)], "", True
    waiting = max(
        (length for ending in stop for length in range(1, len(ending)) if text.endswith(ending[:length])), default=0
    )
    return text[: len(text) - waiting], text[len(text) - waiting :], False
