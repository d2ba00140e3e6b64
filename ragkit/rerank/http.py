"""Scores from a rerank service: Cohere, Jina, vLLM and what speaks like them.

All three take `{"model", "query", "documents", "top_n"}` at `{base_url}/rerank` and answer
`{"results": [{"index", "relevance_score"}]}`, best first. base_url is https://api.cohere.com/v2,
https://api.jina.ai/v1, or a vLLM server's address with or without /v1.
Sources: https://docs.cohere.com/v2/reference/rerank, https://api.jina.ai/redoc,
https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#re-rank-api.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import httpx

from ragkit.config.schema import Reranking
from ragkit.errors import ServiceError
from ragkit.service import checked_key, endpoint, http_client, quoted, shown_url


class HttpReranker:
    """One HTTP client. Nothing is retried here.

    Raises:
        ConfigError: A key that no header can carry, or a proxy of the environment that cannot be used.
    """

    def __init__(self, config: Reranking) -> None:
        url = config.base_url or ""
        self._key = checked_key(config.api_key, "retrieval.reranking.api_key")
        self._config = config
        self._address = endpoint(url, "/rerank")
        self._shown = shown_url(url)
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._client = http_client(headers=headers, timeout=config.timeout_s)

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """The service's relevance scores, in the order of the texts. Raises ServiceError when it fails."""
        if not texts:
            return []
        body = {"query": question, "documents": list(texts), "top_n": len(texts)}
        if self._config.model:
            body["model"] = self._config.model
        try:
            response = self._client.post(self._address, json=body)
        except httpx.TimeoutException as error:
            raise ServiceError(
                f"{self._shown} gave no scores within {self._config.timeout_s:g} s",
                mend="raise reranking.timeout_s or lower reranking.candidates",
            ) from error
        except (httpx.HTTPError, UnicodeError) as error:
            raise ServiceError(
                f"no rerank service at {self._shown} ({type(error).__name__})", mend="mend reranking.base_url"
            ) from error
        if response.status_code != 200:
            raise self._refused(response)
        return self._read(response, len(texts))

    def _refused(self, response: httpx.Response) -> ServiceError:
        status = response.status_code
        said = quoted(response.text, self._key)
        mend = None
        if status in (401, 403):
            mend = "set reranking.api_key"
        elif status == 404:
            mend = "mend reranking.base_url (the part before /rerank) or reranking.model"
        elif status == 429:
            wait = response.headers.get("Retry-After")
            mend = f"wait {wait} s" if wait and wait.isdigit() else "wait, or raise the limit"
        return ServiceError(f"{self._shown} answered HTTP {status}{f': {said}' if said else ''}", mend=mend)

    def _read(self, response: httpx.Response, wanted: int) -> list[float]:
        """The scores by index: the service sorts by score, and must name every text exactly once."""
        try:
            answer: object = response.json()
        except ValueError as error:
            raise self._unreadable("no JSON") from error
        results = cast("dict[str, object]", answer).get("results") if isinstance(answer, dict) else None
        if not isinstance(results, list):
            raise self._unreadable("no list of results")
        scores: dict[int, float] = {}
        for result in cast("list[object]", results):
            fields = cast("dict[str, object]", result) if isinstance(result, dict) else {}
            index, score = fields.get("index"), fields.get("relevance_score")
            if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < wanted:
                raise self._unreadable(f"index {index!r} for {wanted} texts")
            if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
                raise self._unreadable(f"relevance_score {score!r}")
            if index in scores:
                raise self._unreadable(f"index {index} twice")
            scores[index] = float(score)
        if len(scores) < wanted:
            missing = next(index for index in range(wanted) if index not in scores)
            raise self._unreadable(f"{len(scores)} scores for {wanted} texts; index {missing} is missing")
        return [scores[index] for index in range(wanted)]

    def _unreadable(self, what: str) -> ServiceError:
        return ServiceError(f"{self._shown} answered something that is no ranking: {what}")
