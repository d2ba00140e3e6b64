"""vLLM's engine in a thread of its own: token ids in, pieces of text out, stopped when nobody reads on.

vLLM is asyncio throughout, and its engine belongs to the event loop that made it. That loop runs in one background
thread; whoever asks, from a thread or from another loop, gets the pieces through a queue. The model itself computes in
a process that vLLM starts.
"""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol, cast

from ragkit.errors import ModelError, ServiceError
from ragkit.ingest.spawn import caller_hidden

# vLLM prints some hundred lines at a start, to standard output, and reports its use to its makers. Its CPU build takes
# nine tenths of the machine's memory for its cache, and fails where they are not free; 2 GB serve a few readers.
_ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "2",
}
_LONGEST_REASON = 300


class Tokenizer(Protocol):
    """What is used of a tokenizer of transformers."""

    chat_template: object
    added_tokens_decoder: Mapping[int, Any]

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...

    def apply_chat_template(
        self, conversation: Sequence[Mapping[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> str: ...


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer; `output_tokens` counts from its beginning. `finish_reason` is empty but in the last."""

    text: str
    output_tokens: int
    cached_tokens: int
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the model writes: `form` is a grammar (EBNF as llama.cpp's) or a JSON schema that it is held to."""

    temperature: float
    max_tokens: int
    stop: tuple[str, ...] = ()
    form: str | dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Ended:
    """Put behind the last piece: `error` is why there are no more, None at an ordinary end."""

    error: Exception | None = None


class VllmEngine:
    """A loaded model. `window` is how many tokens prompt and answer may have together.

    Args:
        folder: The model in the format of transformers.
        wanted_window: The window is no longer than this, for its memory is taken at once; nor than the model's own.
        options: Further arguments of vLLM's engine by name (`max_model_len`, `gpu_memory_utilization`, ...).

    Raises:
        ModelError: vLLM cannot load the model, or has no memory for it.
    """

    def __init__(self, folder: Path, wanted_window: int, options: Mapping[str, object]) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="ragkit-vllm", daemon=True).start()
        try:
            # vLLM's processes need nothing of the script that asks, which may have no guard against being run again.
            with caller_hidden():
                started = _start(folder, wanted_window, options)
                self._llm: Any = asyncio.run_coroutine_threadsafe(started, self._loop).result()
        except ImportError as error:
            raise ModelError(f"vLLM cannot be loaded: {_first_line(error)}", mend="install it again") from error
        except Exception as error:
            raise _cannot_load(folder, error) from error
        finally:
            if not hasattr(self, "_llm"):
                self._loop.call_soon_threadsafe(self._loop.stop)
        self._sampling: dict[str, object] = self._llm.model_config.get_diff_sampling_param()
        self.window: int = self._llm.model_config.max_model_len
        self.tokenizer = cast("Tokenizer", self._llm.get_tokenizer())
        self.close = weakref.finalize(self, _stop, self._llm, self._loop)

    def stream(self, token_ids: Sequence[int], sampling: Sampling) -> Iterator[Piece]:
        """The answer in pieces. Closing the iterator stops the model. Raises ServiceError when the engine fails."""
        self._refuse_if_closed()
        items: SimpleQueue[Piece | _Ended] = SimpleQueue()
        task = asyncio.run_coroutine_threadsafe(self._pump(token_ids, sampling, items.put), self._loop)
        try:
            while isinstance(item := items.get(), Piece):
                yield item
            if item.error:
                raise _fault(item.error) from item.error
        finally:
            task.cancel()

    async def astream(self, token_ids: Sequence[int], sampling: Sampling) -> AsyncIterator[Piece]:
        """Like `stream`, without blocking the event loop of the caller."""
        self._refuse_if_closed()
        items: asyncio.Queue[Piece | _Ended] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def put(item: Piece | _Ended) -> None:
            with suppress(RuntimeError):  # the caller's loop is closed: nobody reads on
                loop.call_soon_threadsafe(items.put_nowait, item)

        task = asyncio.run_coroutine_threadsafe(self._pump(token_ids, sampling, put), self._loop)
        try:
            while isinstance(item := await items.get(), Piece):
                yield item
            if item.error:
                raise _fault(item.error) from item.error
        finally:
            task.cancel()

    def _refuse_if_closed(self) -> None:
        if not self.close.alive:
            raise ServiceError("vLLM's engine was closed", mend="load it again")

    @property
    def unfinished(self) -> int:
        """How many answers the model is working on."""
        return self._llm.get_num_unfinished_requests()

    async def _pump(self, token_ids: Sequence[int], sampling: Sampling, put: Callable[[Piece | _Ended], None]) -> None:
        """Put every piece of an answer, then its end. When this is cancelled, vLLM stops the request."""
        parameters = _parameters(self._sampling, sampling)
        produced = 0
        try:
            async for output in self._llm.generate({"prompt_token_ids": list(token_ids)}, parameters, uuid.uuid4().hex):
                [part] = output.outputs
                produced += len(part.token_ids)
                put(Piece(part.text, produced, output.num_cached_tokens or 0, part.finish_reason or ""))
        except Exception as error:
            put(_Ended(error))
        except asyncio.CancelledError:
            put(_Ended(RuntimeError("the engine was closed")))
            raise
        else:
            put(_Ended())


def _parameters(recommended: Mapping[str, object], sampling: Sampling) -> object:
    """As vLLM's server does it: what the model's makers recommend, but for what the configuration says."""
    api: Any = import_module("vllm.sampling_params")
    settings = {name: value for name, value in recommended.items() if name != "max_new_tokens"}
    settings |= {"temperature": sampling.temperature, "max_tokens": sampling.max_tokens, "stop": list(sampling.stop)}
    if sampling.form is not None:
        kind = "grammar" if isinstance(sampling.form, str) else "json"
        settings["structured_outputs"] = api.StructuredOutputsParams(**{kind: sampling.form})
    return api.SamplingParams(**settings, output_kind=api.RequestOutputKind.DELTA)


async def _start(folder: Path, wanted_window: int, options: Mapping[str, object]) -> object:
    arguments: Any = import_module("vllm.engine.arg_utils").AsyncEngineArgs
    engine: Any = import_module("vllm.v1.engine.async_llm").AsyncLLM
    given: dict[str, object] = {
        "model": str(folder),
        "enable_prefix_caching": True,
        # A small model that may write free white space in JSON writes nothing else until its tokens are used up.
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        "disable_log_stats": True,
        # Compiling takes minutes at each start of the CPU build.
        "enforce_eager": bool(import_module("vllm.platforms").current_platform.is_cpu()),
        **options,
    }
    if "max_model_len" not in given:
        given["max_model_len"] = min(wanted_window, arguments(**given).create_model_config().max_model_len)
    return engine.from_engine_args(arguments(**given))


def _stop(llm: Any, loop: asyncio.AbstractEventLoop) -> None:
    with suppress(Exception):  # at the end of the process half of what this needs may be gone
        if llm.output_handler is not None:  # else it takes the end for a fault and prints a traceback
            loop.call_soon_threadsafe(llm.output_handler.cancel)
        llm.shutdown()
    llm.shutdown = _nothing  # vLLM calls it again when Python ends, with half of its modules gone, and fails aloud
    loop.call_soon_threadsafe(loop.stop)


def _nothing(timeout: float | None = None) -> None:
    """In place of a shutdown that was done."""


def _cannot_load(folder: Path, error: Exception) -> ModelError:
    reason = _first_line(error)
    if isinstance(error, (OSError, TypeError)):
        return ModelError(f"vLLM cannot load the model at {folder}: {reason}")
    # The reason stands in the lines that vLLM's own process printed; it is memory far more often than anything else.
    return ModelError(
        f"vLLM cannot load the model at {folder}: {reason}",
        mend="see the lines of vLLM above; if it is memory: lower generation.context_tokens and generation.max_tokens,"
        " on a CPU set VLLM_CPU_KVCACHE_SPACE (GB, now 2 unless you set it), or take a smaller model",
    )


def _fault(error: Exception) -> ServiceError:
    if type(error).__name__ == "EngineDeadError":
        return ServiceError(
            "vLLM's engine died", mend="start this program again; if it stays, see the lines of vLLM (often: memory)"
        )
    return ServiceError(f"vLLM gave no answer: {_first_line(error)}", mend="ask again")


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line[:_LONGEST_REASON].rstrip(".")
