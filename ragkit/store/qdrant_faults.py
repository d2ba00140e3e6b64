"""What went wrong at a Qdrant server, said in one line with the mend and without the key."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import cast

import httpx
from pydantic import ValidationError
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from ragkit import service
from ragkit.config.schema import Store
from ragkit.errors import StoreError
from ragkit.store.served_faults import missing, shown


@contextmanager
def explained(config: Store) -> Generator[None]:
    """Turn whatever qdrant-client raises inside the block into a StoreError.

    The cause is not chained: a server or a proxy may echo the request, and with it the key.
    """
    try:
        yield
    except UnexpectedResponse as error:
        raise _refused(config, error.status_code or 0, error.content) from None
    except ResourceExhaustedResponse as error:
        raise StoreError(
            f"{shown(config)} is over its rate limit (HTTP 429)", mend=f"wait {error.retry_after_s} s"
        ) from None
    except ResponseHandlingException as error:
        raise _no_answer(config, error.source) from None
    except (json.JSONDecodeError, ValidationError, AssertionError):
        # AssertionError is how qdrant-client says that a result is missing.
        raise _unreadable(config) from None
    except ValueError as error:
        # qdrant-client's local mode has no other type for a refusal.
        raise StoreError(f"{shown(config)} refused: {_clean(config, str(error))}") from None


def _refused(config: Store, status: int, body: bytes) -> StoreError:
    where, said = shown(config), _message(config, body)
    if status in (401, 403):
        return StoreError(
            f"{where} refused the key (HTTP {status}){said}",
            mend="set ingestion.store.api_key",
        )
    if status == 404 and "ollection" in said:
        return missing(config)
    if status == 404:
        return StoreError(f"{where} is no Qdrant server (HTTP 404){said}", mend="mend ingestion.store.url")
    if status in (408, 504):
        return _timed_out(config)
    if status == 429:
        return StoreError(f"{where} is over its rate limit (HTTP 429){said}", mend="wait and try again")
    if status >= 500:
        return StoreError(f"{where} failed (HTTP {status}){said}", mend="try again; if it stays, see the server's log")
    return StoreError(f"{where} refused the request (HTTP {status}){said}")


def _no_answer(config: Store, source: Exception) -> StoreError:
    if isinstance(source, httpx.TimeoutException):
        return _timed_out(config)
    if isinstance(source, httpx.TransportError | OSError):
        return StoreError(
            f"no Qdrant server at {shown(config)} ({type(source).__name__})",
            mend="start it (docker compose up -d qdrant), or mend ingestion.store.url",
        )
    if isinstance(source, httpx.InvalidURL):
        return StoreError(f"{shown(config)} is no address", mend="mend ingestion.store.url")
    return _unreadable(config)


def _unreadable(config: Store) -> StoreError:
    return StoreError(
        f"{shown(config)} answered something that Qdrant does not answer", mend="mend ingestion.store.url"
    )


def _timed_out(config: Store) -> StoreError:
    return StoreError(
        f"{shown(config)} gave no answer within {config.timeout_s:g} s",
        mend="raise ingestion.store.timeout_s, or see what keeps the server busy",
    )


def _message(config: Store, body: bytes) -> str:
    """The server's own words: `{"status": {"error": "..."}}`."""
    said: object = None
    with suppress(ValueError):
        said = json.loads(body)
    for key in ("status", "error"):
        said = cast("dict[str, object]", said).get(key) if isinstance(said, dict) else None
    return f": {_clean(config, said)}" if isinstance(said, str) else ""


def _clean(config: Store, text: str) -> str:
    return service.quoted(text, config.api_key.get_secret_value() if config.api_key else "")
