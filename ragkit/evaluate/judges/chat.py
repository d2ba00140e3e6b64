"""One reply of a language model that is held to a JSON schema: from a server, or from a model in this process.

Two kinds of failure are told apart. What would fail every question (no server, no such model, a refused key) is raised
as a RagkitError and ends the judging; what failed this question only is a `NoReplyError`, and becomes a judgement
without a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from threading import Lock
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from ragkit.config.schema import Generation
from ragkit.errors import ConfigError, ModelError, ServiceError
from ragkit.evaluate.judges.settings import JudgeSettings
from ragkit.generate.chat_completion import Completion as Read
from ragkit.generate.chat_completion import ReportedError, UnreadableError, read_completion
from ragkit.generate.llama_model import Completion, LlamaModel
from ragkit.generate.prompt import Message
from ragkit.service import OPENAI_URL, checked_key, endpoint, http_client, quoted, shown_url

_NOT_THIS_QUESTION = (401, 403, 404)


class NoReplyError(Exception):
    """This one request came to nothing; the text says why."""


class Chat(Protocol):
    """A model that is asked once. Safe to call from several threads."""

    def reply(self, messages: Sequence[Message], schema: dict[str, Any]) -> str:
        """The whole reply at temperature 0. Raises NoReplyError, or RagkitError where no question would get one."""
        ...


def make_chat(settings: JudgeSettings, max_tokens: int) -> Chat:
    """Raises ConfigError for a key that is missing or that no header can carry. Loads and calls nothing yet."""
    return (ServerChat if settings.backend == "openai" else LocalChat)(settings, max_tokens)


class ServerChat:
    """A server that speaks OpenAI's chat completions and holds a reply to a JSON schema."""

    def __init__(self, settings: JudgeSettings, max_tokens: int) -> None:
        self._settings = settings
        self._max_tokens = max_tokens
        self._url, self._key = address_and_key(settings)
        self._is_openai = urlsplit(self._url).hostname == "api.openai.com"
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self.client = http_client(headers=headers, timeout=settings.timeout_s)

    def reply(self, messages: Sequence[Message], schema: dict[str, Any]) -> str:
        request: dict[str, Any] = {
            "model": self._settings.model,
            "messages": list(messages),
            "temperature": 0.0,
            # OpenAI's newer models know only the second name, many other servers only the first.
            "max_completion_tokens" if self._is_openai else "max_tokens": self._max_tokens,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "verdict", "schema": self._known(schema), "strict": True},
            },
        }
        response = self._post(request)
        if response.status_code >= 400 and "json_object" in response.text:
            # llama-cpp-python's server has another name for the same.
            response = self._post({**request, "response_format": {"type": "json_object", "schema": schema}})
        if response.status_code >= 300:
            raise NoReplyError(f"HTTP {response.status_code}: {quoted(response.text, self._key)}")
        return self._whole(response.content)

    def _known(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema without what the service refuses: OpenAI knows no bound for the length of a text."""
        if not self._is_openai:
            return schema
        properties: dict[str, dict[str, Any]] = schema["properties"]
        bare = {
            name: {key: value for key, value in form.items() if key != "maxLength"} for name, form in properties.items()
        }
        return {**schema, "properties": bare}

    def _post(self, request: dict[str, Any]) -> httpx.Response:
        where = shown_url(self._url)
        try:
            response = self.client.post(endpoint(self._url, "/chat/completions"), json=request)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise ServiceError(f"no server at {where}", mend="start it, or mend the judge's base_url") from None
        except httpx.TimeoutException:
            raise NoReplyError(f"no whole reply within {self._settings.timeout_s:g} s") from None
        except httpx.HTTPError as error:
            raise NoReplyError(f"the connection broke off ({type(error).__name__})") from None
        if response.status_code in _NOT_THIS_QUESTION:
            raise ServiceError(
                f"{where} has no judge {self._settings.model!r} for this key (HTTP {response.status_code})",
                mend="mend the judge's model, base_url or api_key",
            )
        return response

    def _whole(self, body: bytes) -> str:
        try:
            read: Read = read_completion(body)
        except UnreadableError:
            raise NoReplyError("the server answered something that is no chat completion") from None
        except ReportedError as error:
            raise NoReplyError(f"the server reported: {quoted(str(error), self._key)}") from None
        if read.declined:
            raise NoReplyError(f"the model declined: {quoted(read.text, self._key)}")
        return _ended(read.text, read.finish_reason, self._max_tokens)


class LocalChat:
    """A GGUF model in this process, loaded at the first question."""

    def __init__(self, settings: JudgeSettings, max_tokens: int) -> None:
        self._settings = settings
        self._max_tokens = max_tokens
        self._loading = Lock()

    def reply(self, messages: Sequence[Message], schema: dict[str, Any]) -> str:
        with self._loading:
            model = self._model
        prompt = model.prompt(messages)
        if len(prompt) + self._max_tokens > model.window:
            raise NoReplyError(
                f"the prompt has {len(prompt):,} tokens, and the model reads {model.window - self._max_tokens:,}:"
                " raise the judge's context_tokens"
            )
        completion = Completion()
        try:
            for _ in model.complete(prompt, completion, max_tokens=self._max_tokens, temperature=0.0, form=schema):
                pass
        except ModelError as error:
            raise NoReplyError(str(error)) from error
        return _ended(completion.text, completion.finish_reason, self._max_tokens)

    @cached_property
    def _model(self) -> LlamaModel:
        settings = self._settings
        return LlamaModel(
            Generation(
                backend="llama_cpp",
                model=settings.model,
                context_tokens=settings.context_tokens,
                max_tokens=self._max_tokens,
                threads=settings.threads,
                gpu_layers=settings.gpu_layers,
            )
        )


def address_and_key(settings: JudgeSettings) -> tuple[str, str]:
    """Where the judge's server is, and its key, "" without one. Raises ConfigError if it must have one."""
    url = settings.base_url or OPENAI_URL
    key = checked_key(settings.api_key, "the judge's api_key")
    if not key and urlsplit(url).hostname == "api.openai.com":
        raise ConfigError(
            "the judge's api_key is missing for api.openai.com",
            mend="set it to ${OPENAI_API_KEY} and export that variable, or name another server by base_url",
        )
    return url, key


def _ended(text: str, finish_reason: str, max_tokens: int) -> str:
    """The reply if it came to its own end."""
    if finish_reason == "length":
        raise NoReplyError(f"the reply was cut off at {max_tokens} tokens")
    if finish_reason == "repetition":
        raise NoReplyError("the model said the same again and again")
    if not text.strip():
        raise NoReplyError(f"the reply is empty (finish_reason {finish_reason})")
    return text
