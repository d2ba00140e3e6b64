"""OpenAI's batch interface: a file of requests goes up, a file of answers comes down within a day, at half the price.

Source: https://platform.openai.com/docs/api-reference/batch. A request is a line `{"custom_id", "method", "url",
"body"}`, an answer `{"custom_id", "response": {"status_code", "body"}, "error"}`, in any order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast

import httpx

from ragkit.config.schema import Generation
from ragkit.errors import ConfigError, ServiceError
from ragkit.generate import openai_faults as faults
from ragkit.service import OPENAI_URL, checked_key, endpoint, http_client

UNDER_WAY = frozenset(("validating", "in_progress", "finalizing", "cancelling"))
_LISTED = 100


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch at the provider: how far it is, and the files with what came of it."""

    id: str
    status: str
    completed: int
    failed: int
    total: int
    output_file: str | None
    error_file: str | None
    said: str = ""

    @property
    def is_under_way(self) -> bool:
        return self.status in UNDER_WAY


class BatchInterface:
    """The batch interface of the server that `generation` names. Raises ConfigError where it can have none."""

    def __init__(self, generation: Generation) -> None:
        if generation.backend != "openai" or generation.api_version is not None:
            raise ConfigError(
                "a batch interface is that of an OpenAI-compatible API", mend="set generation.backend: openai"
            )
        self._url = generation.base_url or OPENAI_URL
        self._key = checked_key(generation.api_key, "generation.api_key")
        self._timeout_s = generation.timeout_s
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._client = http_client(headers=headers, timeout=generation.timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def upload(self, requests: Mapping[str, Mapping[str, object]]) -> str:
        """The id of a file with these bodies of chat completions, by their custom id."""
        lines = [
            json.dumps({"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body})
            for key, body in requests.items()
        ]
        file = ("requests.jsonl", "\n".join(lines).encode() + b"\n", "application/jsonl")
        return str(self._json("POST", "/files", files={"file": file}, data={"purpose": "batch"})["id"])

    def create(self, input_file: str) -> Batch:
        """Begin the batch of an uploaded file; one that was begun already is found and not begun again."""
        listed = self._json("GET", "/batches", params={"limit": _LISTED}).get("data")
        for fields in cast("list[dict[str, Any]]", listed) if isinstance(listed, list) else []:
            if fields.get("input_file_id") == input_file:
                return _batch(fields)
        request = {"input_file_id": input_file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        return _batch(self._json("POST", "/batches", json=request))

    def look(self, identity: str) -> Batch:
        """How far it is."""
        return _batch(self._json("GET", f"/batches/{identity}"))

    def outcomes(self, batch: Batch) -> tuple[dict[str, bytes], dict[str, str]]:
        """The bodies of the answers and the reasons of failures, by custom id."""
        bodies: dict[str, bytes] = {}
        failures: dict[str, str] = {}
        for file in (batch.output_file, batch.error_file):
            for line in self._send("GET", f"/files/{file}/content").content.splitlines() if file else ():
                if line.strip():
                    self._read(line, bodies, failures)
        return bodies, failures

    def _read(self, line: bytes, bodies: dict[str, bytes], failures: dict[str, str]) -> None:
        try:
            row: dict[str, Any] = json.loads(line)
            key, response = str(row["custom_id"]), cast("dict[str, Any]", row.get("response") or {})
            status, body = response.get("status_code"), response.get("body")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise faults.unreadable(self._url) from error
        if row.get("error") or status != 200:
            said = json.dumps(row.get("error") or body, ensure_ascii=False)
            failures[key] = str(self._refused(status if isinstance(status, int) else 500, said))
        else:
            bodies[key] = json.dumps(body).encode()

    def _json(self, method: str, path: str, **settings: Any) -> dict[str, Any]:
        try:
            fields: object = self._send(method, path, **settings).json()
        except ValueError as error:
            raise faults.unreadable(self._url) from error
        if not isinstance(fields, dict):
            raise faults.unreadable(self._url)
        return cast("dict[str, Any]", fields)

    def _send(self, method: str, path: str, **settings: Any) -> httpx.Response:
        try:
            response = self._client.request(method, endpoint(self._url, path), **settings)
        except httpx.TimeoutException as error:
            raise faults.timed_out(self._url, self._timeout_s) from error
        except httpx.HTTPError as error:
            raise faults.unreachable(self._url) from error
        if response.status_code >= 300:
            raise self._refused(response.status_code, response.text)
        return response

    def _refused(self, status: int, said: str) -> ServiceError:
        return faults.refused_request(self._url, status, said, model="", secret=self._key)


def _batch(fields: Mapping[str, Any]) -> Batch:
    counts: dict[str, Any] = fields.get("request_counts") or {}
    told: dict[str, list[dict[str, Any]]] = fields.get("errors") or {}
    return Batch(
        id=str(fields["id"]),
        status=str(fields.get("status", "")),
        completed=int(counts.get("completed") or 0),
        failed=int(counts.get("failed") or 0),
        total=int(counts.get("total") or 0),
        output_file=fields.get("output_file_id"),
        error_file=fields.get("error_file_id"),
        said="; ".join(str(error.get("message", "")) for error in told.get("data") or []),
    )
