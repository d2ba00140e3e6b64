"""What went wrong at an OpenAI-compatible server, said in one line with the mend and without any secret."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import cast

from ragkit.errors import ServiceError
from ragkit.service import quoted, shown_url

_TOO_LONG = re.compile(
    r"context.{0,20}(?:length|window)|maximum context|too many tokens|prompt is too long", re.IGNORECASE
)


def unreachable(url: str) -> ServiceError:
    return ServiceError(
        f"no server at {shown_url(url)}",
        mend="start it (for example: vllm serve MODEL, or ollama serve), or mend generation.base_url",
        fault="unreachable",
    )


def timed_out(url: str, seconds: float) -> ServiceError:
    return ServiceError(
        f"{shown_url(url)} gave no whole answer within {seconds:g} s",
        mend="raise generation.timeout_s or lower generation.max_tokens",
        fault="timed out",
    )


def cut_off(url: str) -> ServiceError:
    return ServiceError(f"{shown_url(url)} broke off in the middle of the answer", mend="ask again", fault="cut off")


def unreadable(url: str) -> ServiceError:
    return ServiceError(
        f"{shown_url(url)} answered something that is no chat completion",
        mend="base_url must be the address of an OpenAI-compatible API, up to and including /v1",
        fault="unreadable",
    )


def empty_answer(url: str, finish_reason: str) -> ServiceError:
    mends = {
        "length": "raise generation.max_tokens (a reasoning model may use all of it up before it answers)",
        "content_filter": "the content filter of the service withheld the answer: rephrase the question",
    }
    return ServiceError(
        f"{shown_url(url)} gave an empty answer (finish_reason {finish_reason})",
        mend=mends.get(finish_reason),
        fault="empty",
    )


def refused_request(
    url: str,
    status: int,
    body: str,
    *,
    model: str,
    retry_after: str | None = None,
    models: Sequence[str] = (),
    moved_to: str = "",
    secret: str = "",
) -> ServiceError:
    """The error for an HTTP status of 300 or more, with the status and how long the server asks to be left alone.

    Args:
        url: Address of the API.
        status: The HTTP status.
        body: What the server answered; its message is quoted, shortened and without keys.
        model: The model that was asked for.
        retry_after: The header Retry-After: seconds, or a date.
        models: Names that the server offers, for a model it does not know.
        moved_to: The header Location of a redirect, which is not followed: the key is for this address.
        secret: A key that must not be in the text.
    """
    error = _refusal(url, status, body, model, retry_after, models, moved_to, secret)
    error.fault, error.status, error.retry_after_s = "refused", status, _seconds(retry_after)
    return error


def _refusal(
    url: str,
    status: int,
    body: str,
    model: str,
    retry_after: str | None,
    models: Sequence[str],
    moved_to: str,
    secret: str,
) -> ServiceError:
    where, said = shown_url(url), _message(body, secret)
    if status < 400:
        there = f" to {shown_url(moved_to)}" if moved_to else ""
        return ServiceError(
            f"{where} redirects{there} (HTTP {status}), which is not followed",
            mend="set generation.base_url to the API itself, up to and including /v1",
        )
    if status == 402:
        return ServiceError(f"{where} wants to be paid first (HTTP 402){said}", mend="add credit at the provider")
    if status in (401, 403):
        return ServiceError(f"{where} refused the key (HTTP {status}){said}", mend="set generation.api_key")
    if status == 404:
        if models:
            return ServiceError(
                f"{where} has no model {model!r}",
                mend=f"set generation.model to one of: {', '.join(models[:10])}",
            )
        return ServiceError(
            f"{where} knows no model {model!r}, or is no OpenAI-compatible API (HTTP 404){said}",
            mend="mend generation.model or generation.base_url",
        )
    if status == 429:
        wait = f"wait {retry_after} s" if (retry_after or "").isdigit() else f"wait until {retry_after}"
        return ServiceError(
            f"{where} is over its rate limit or quota (HTTP 429){said}",
            mend=wait if retry_after else "wait, or raise the limit at the provider",
        )
    if status in (400, 413, 422) and _TOO_LONG.search(body):
        return ServiceError(
            f"the prompt is too long for {model}{said}",
            mend="lower generation.context_tokens or generation.max_tokens",
        )
    if status in (408, 504):
        return ServiceError(f"{where} ran out of time (HTTP {status}){said}", mend="ask again")
    if status >= 500:
        return ServiceError(
            f"{where} failed (HTTP {status}){said}", mend="ask again; if it stays, see the server's log"
        )
    return ServiceError(
        f"{where} refused the request (HTTP {status}){said}",
        mend="mend what it names under generation" if said else "see the server's log",
    )


def _seconds(retry_after: str | None) -> float | None:
    """A header Retry-After in seconds from now, None without one or where it says nothing.

    >>> _seconds("7"), _seconds("Wed, 21 Oct 2015 07:28:00 GMT"), _seconds("soon"), _seconds("nan")
    (7.0, 0.0, None, None)
    """
    if retry_after is None:
        return None
    with suppress(ValueError):
        seconds = float(retry_after)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    with suppress(ValueError):
        at = parsedate_to_datetime(retry_after)
        return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - time.time())
    return None


def _message(body: str, secret: str) -> str:
    """The server's own words, if it has any: the `message` of the error in any of the usual shapes."""
    said: object = None
    with suppress(ValueError, RecursionError):
        said = json.loads(body)
    while isinstance(said, (dict, list)):
        if isinstance(said, list):
            said = next(iter(cast("list[object]", said)), None)
            continue
        fields = cast("dict[str, object]", said)
        said = next((fields[key] for key in ("error", "message", "detail", "msg") if key in fields), None)
    if not isinstance(said, str):
        return ""
    said = quoted(said, secret)
    return f": {said}" if said else ""
