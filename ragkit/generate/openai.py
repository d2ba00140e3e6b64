"""Answers from any server that speaks OpenAI's chat completions: OpenAI, Azure, vLLM, Ollama, llama.cpp."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import httpx

from ragkit.config.schema import Generation
from ragkit.embed.openai_tokens import count_tokens
from ragkit.errors import ConfigError, ServiceError
from ragkit.generate import openai_faults as faults
from ragkit.generate.answer_form import Shown, answer_form
from ragkit.generate.chat_completion import (
    Completion,
    Lines,
    ReportedError,
    UnreadableError,
    read_completion,
    read_event,
    read_model_names,
)
from ragkit.generate.generated import Generated, generated_from
from ragkit.generate.packing import packed_for
from ragkit.generate.prompt import (
    Packed,
    SplitSentences,
    build_messages,
    documents_part,
    question_part,
    render_blocks,
    system_prompt,
)
from ragkit.generate.sentence_terms import nearest_to
from ragkit.service import OPENAI_URL, async_http_client, checked_key, endpoint, http_client, needs_key
from ragkit.types import Chunk, ScoredChunk, Usage

_FAILURES = (httpx.HTTPError, httpx.StreamError, TimeoutError, UnreadableError, ReportedError)


class OpenAIGenerator:
    """A chat model behind an OpenAI-compatible API. Nothing is retried here: that is the business of `routing`.

    `timeout_s` bounds each wait for the server, and the whole of an answer.

    Raises:
        ConfigError: No key for api.openai.com or Azure, a key that no header can carry, or a proxy that is none.
    """

    def __init__(self, config: Generation, split_sentences: SplitSentences) -> None:
        self._config = config
        self._split_sentences = split_sentences
        self._url = config.base_url or OPENAI_URL
        self._is_azure = config.api_version is not None
        self._is_openai = urlsplit(self._url).hostname == "api.openai.com"
        self._key = checked_key(config.api_key, "generation.api_key")
        if not self._key and needs_key(config.base_url, config.api_version):
            raise ConfigError(
                f"generation.api_key is missing for {urlsplit(self._url).hostname}",
                mend="set it to ${OPENAI_API_KEY} and export that variable",
            )
        self._client = http_client(headers=self._headers(), timeout=config.timeout_s)
        # The connections of an async client belong to the event loop that opened them.
        self._async_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()

    def generate(self, question: str, results: Sequence[ScoredChunk]) -> Generated:
        """The answer at once. Raises ServiceError when the server fails."""
        request, packed = self.request(question, results)
        return self._generated(self._completed(request), packed)

    async def agenerate(self, question: str, results: Sequence[ScoredChunk]) -> Generated:
        """Like `generate`, without blocking the event loop."""
        request, packed = self.request(question, results)
        client = self._async_client()
        try:
            async with asyncio.timeout(self._config.timeout_s):
                response = await client.post(self._address, json=request)
                await self._acheck(response, client)
            return self._generated(read_completion(response.content), packed)
        except _FAILURES as error:
            raise self._fault(error) from error

    def read(self, body: bytes, packed: Packed) -> Generated:
        """An answer that came another way, such as a batch. Raises ServiceError if it is none."""
        try:
            return self._generated(read_completion(body), packed)
        except _FAILURES as error:
            raise self._fault(error) from error

    async def aclose(self) -> None:
        """Close the connections of this event loop and those of the calls without one."""
        self._client.close()
        if (client := self._async_clients.pop(asyncio.get_running_loop(), None)) is not None:
            await client.aclose()

    def write(self, request: str, max_tokens: int) -> tuple[str, Usage]:
        """A text that no documents go into, at temperature 0. Raises ServiceError when the server fails."""
        messages = [{"role": "user", "content": request}]
        fixed = {"model": self._config.model, "messages": messages, "temperature": 0.0}
        completion = self._completed({**fixed, self._limit: max_tokens})
        usage = completion.usage
        if not usage.input_tokens:  # some servers count no tokens
            usage = Usage(count_tokens(request), count_tokens(completion.text))
        return Shown("names", completion.text).whole(), usage

    def _completed(self, request: dict[str, object]) -> Completion:
        deadline = time.monotonic() + self._config.timeout_s
        try:
            with self._client.stream("POST", self._address, json=request) as response:
                self._check(response, deadline)
                return read_completion(self._body(response, deadline))
        except _FAILURES as error:
            raise self._fault(error) from error

    def stream(self, question: str, results: Sequence[ScoredChunk]) -> Iterator[str | Generated]:
        """Pieces of the text as they come, and last the whole. Raises ServiceError when the server fails."""
        request, packed = self.request(question, results, stream=True)
        completion, deadline = Completion(), time.monotonic() + self._config.timeout_s
        shown, lines = Shown(self._config.citations), Lines()
        try:
            with self._client.stream("POST", self._address, json=request) as response:
                self._check(response, deadline)
                if _is_whole(response):
                    completion = read_completion(self._body(response, deadline))
                    yield shown.add(completion.text)
                    yield self._streamed(completion, packed)
                    return
                for received in response.iter_text():
                    self._check_time(deadline)
                    for line in lines.add(received):
                        if piece := shown.add(read_event(completion, line)):
                            yield piece
                if piece := shown.add(read_event(completion, lines.rest)):
                    yield piece
            yield self._streamed(completion, packed)
        except _FAILURES as error:
            raise self._fault(error, completion) from error

    async def astream(self, question: str, results: Sequence[ScoredChunk]) -> AsyncIterator[str | Generated]:
        """Like `stream`, without blocking the event loop."""
        request, packed = self.request(question, results, stream=True)
        completion, deadline = Completion(), time.monotonic() + self._config.timeout_s
        shown, lines = Shown(self._config.citations), Lines()
        client = self._async_client()
        try:
            async with client.stream("POST", self._address, json=request) as response:
                async with asyncio.timeout(self._config.timeout_s):
                    await self._acheck(response, client)
                    whole = await response.aread() if _is_whole(response) else None
                if whole is not None:
                    completion = read_completion(whole)
                    yield shown.add(completion.text)
                    yield self._streamed(completion, packed)
                    return
                async for received in response.aiter_text():
                    self._check_time(deadline)
                    for line in lines.add(received):
                        if piece := shown.add(read_event(completion, line)):
                            yield piece
                if piece := shown.add(read_event(completion, lines.rest)):
                    yield piece
            yield self._streamed(completion, packed)
        except _FAILURES as error:
            raise self._fault(error, completion) from error

    def _headers(self) -> dict[str, str]:
        if not self._key:
            return {}
        return {"api-key": self._key} if self._is_azure else {"Authorization": f"Bearer {self._key}"}

    def _async_client(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if loop not in self._async_clients:
            self._async_clients[loop] = async_http_client(headers=self._headers(), timeout=self._config.timeout_s)
        return self._async_clients[loop]

    @property
    def _address(self) -> str:
        if not self._is_azure:
            return endpoint(self._url, "/chat/completions")
        deployment = f"{self._url.removesuffix('/openai')}/openai/deployments/{self._config.model}"
        return f"{deployment}/chat/completions?api-version={self._config.api_version}"

    @property
    def _limit(self) -> str:
        # OpenAI's newer models know only the first name, many other servers only the second.
        return "max_completion_tokens" if self._is_openai or self._is_azure else "max_tokens"

    def request(
        self, question: str, results: Sequence[ScoredChunk], *, stream: bool = False
    ) -> tuple[dict[str, object], Packed]:
        """The body of a chat completion for this question, and the passages that went into its prompt."""
        config, style = self._config, self._config.citations
        packed = packed_for(question, results, config, config.context_tokens, count_tokens, self._split_sentences)
        nearest = nearest_to(question, packed.chunks, style, self._split_sentences)
        request: dict[str, object] = {
            "model": config.model,
            "messages": self._messages(question, packed.chunks, nearest),
            "temperature": config.temperature,
            self._limit: config.max_tokens,
        }
        if stream:
            request |= {"stream": True, "stream_options": {"include_usage": True}}
        if config.stop:
            request["stop"] = config.stop
        if (
            config.prompt_cache == "openai"
        ):  # the questions of one system prompt go to one server, as far as it has room
            request["prompt_cache_key"] = hashlib.sha256(system_prompt(config).encode()).hexdigest()[:16]
        return request | _form_fields(answer_form(style, len(packed.chunks))), packed

    def _messages(self, question: str, chunks: Sequence[Chunk], nearest: Sequence[str]) -> Sequence[object]:
        """The conversation, with the marks of `generation.prompt_cache: anthropic` behind what questions share."""
        config = self._config
        if config.prompt_cache != "anthropic":
            return build_messages(config, question, chunks, nearest)
        kept = {"type": "text", "cache_control": {"type": "ephemeral"}}
        asked = {"type": "text", "text": question_part(config, question, nearest)}
        return [
            {"role": "system", "content": [{**kept, "text": system_prompt(config)}]},
            {"role": "user", "content": [{**kept, "text": documents_part(config, chunks)}, asked]},
        ]

    def _check(self, response: httpx.Response, deadline: float) -> None:
        if response.status_code >= 300:
            body, names = self._body(response, deadline), list[str]()
            if self._asks_models(response):
                with suppress(httpx.HTTPError), self._client.stream("GET", endpoint(self._url, "/models")) as listed:
                    names = read_model_names(self._body(listed, deadline))
            raise self._refused(response, body, names)

    async def _acheck(self, response: httpx.Response, client: httpx.AsyncClient) -> None:
        if response.status_code >= 300:
            body, names = await response.aread(), list[str]()
            if self._asks_models(response):
                with suppress(httpx.HTTPError):
                    names = read_model_names((await client.get(endpoint(self._url, "/models"))).content)
            raise self._refused(response, body, names)

    def _body(self, response: httpx.Response, deadline: float) -> bytes:
        body = bytearray()
        for piece in response.iter_bytes():
            self._check_time(deadline)
            body += piece
        return bytes(body)

    def _check_time(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise httpx.ReadTimeout("the answer took longer than the time limit")

    def _streamed(self, completion: Completion, packed: Packed) -> Generated:
        # A connection that is closed in the middle of an answer may look like an ordinary end.
        if not completion.finish_reason:
            fault = faults.cut_off(self._url) if completion.text else faults.unreadable(self._url)
            raise _paid(fault, completion)
        return self._generated(completion, packed)

    def _generated(self, completion: Completion, packed: Packed) -> Generated:
        text = Shown(self._config.citations, completion.text).whole()
        if not text:
            raise _paid(faults.empty_answer(self._url, completion.finish_reason), completion)
        usage, notes = completion.usage, packed.notes
        if not usage.input_tokens:  # some servers count no tokens, least of all in a stream
            usage = Usage(count_tokens(render_blocks(packed.chunks, self._config.citations)), count_tokens(text))
            notes = (*notes, "the server counted no tokens; those of documents and answer were estimated")
        generated = generated_from(
            text,
            usage=usage,
            model=completion.model or self._config.model or "",
            finish_reason=completion.finish_reason,
            used=packed.chunks,
            notes=notes,
        )
        return replace(generated, refused=generated.refused or completion.declined)

    def _asks_models(self, response: httpx.Response) -> bool:
        return response.status_code == 404 and not self._is_azure

    def _refused(self, response: httpx.Response, body: bytes, names: Sequence[str]) -> ServiceError:
        return faults.refused_request(
            self._url,
            response.status_code,
            body.decode("utf-8", "replace"),
            model=self._config.model or "",
            retry_after=response.headers.get("Retry-After"),
            moved_to=response.headers.get("Location", ""),
            models=names,
            secret=self._key,
        )

    def _fault(self, error: Exception, completion: Completion | None = None) -> ServiceError:
        return _paid(self._failure(error), completion)

    def _failure(self, error: Exception) -> ServiceError:
        timed_out = isinstance(error, (httpx.TimeoutException, TimeoutError))
        if timed_out and not isinstance(error, httpx.ConnectTimeout):
            return faults.timed_out(self._url, self._config.timeout_s)
        if isinstance(error, ReportedError):
            told = faults.refused_request(self._url, 500, str(error), model=self._config.model or "", secret=self._key)
            told.fault = "failed"  # it had begun to answer
            return told
        if isinstance(error, (UnreadableError, httpx.DecodingError)):
            return faults.unreadable(self._url)
        if isinstance(error, (httpx.ReadError, httpx.RemoteProtocolError)):
            return faults.cut_off(self._url)
        return faults.unreachable(self._url)


def _paid(error: ServiceError, completion: Completion | None) -> ServiceError:
    """The error with the tokens that the server has reported so far."""
    if completion is not None and completion.usage != Usage():
        error.usage = completion.usage
    return error


def _is_whole(response: httpx.Response) -> bool:
    """Whether a server that was asked for a stream sends the answer in one piece."""
    return response.headers.get("Content-Type", "").startswith("application/json")


def _form_fields(form: str | dict[str, Any] | None) -> dict[str, object]:
    """How a server is told the form: OpenAI's field for a schema; for a grammar, those of vLLM and of llama.cpp."""
    if isinstance(form, str):
        return {"structured_outputs": {"grammar": form}, "grammar": form}
    if form is None:
        return {}
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": form, "strict": True}}
    }
