"""Embeddings by any server that speaks OpenAI's `/v1/embeddings` (OpenAI, vLLM, Ollama, TEI)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import httpx
import numpy as np

from ragkit.embed import make_token_counter
from ragkit.errors import ConfigError, ModelError, ServiceError
from ragkit.service import OPENAI_URL, checked_key, endpoint, http_client, needs_key, quoted, shown_url

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ragkit.config.schema import Embedding


class OpenAIEmbedder:
    """One HTTP client; vectors are brought to unit length, as some servers do not."""

    def __init__(self, config: Embedding) -> None:
        url = config.base_url or OPENAI_URL
        self._key = checked_key(config.api_key, "ingestion.embedding.api_key")
        if not self._key and needs_key(url):
            raise ConfigError(
                "ingestion.embedding.api_key is missing for api.openai.com",
                mend="set it to ${OPENAI_API_KEY} and export that variable",
            )
        self._config = config
        self._tokens = make_token_counter(config)
        self._address = endpoint(url, "/embeddings")
        self._shown = shown_url(self._address)
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._client = http_client(headers=headers, timeout=config.timeout_s)

    def close(self) -> None:
        """Close the connections that are kept open between calls."""
        self._client.close()

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        prefixed = [self._config.passage_prefix + text for text in texts]
        for text in prefixed:
            # A token is at least one byte, so a short text needs no counting.
            if len(text) * 4 > self._tokens.window and (count := self._tokens.count(text)) > self._tokens.window:
                raise ModelError(
                    f"a passage of {count} tokens does not fit the model, which reads {self._tokens.window}",
                    mend="lower ingestion.chunking.chunk_size or header_tokens",
                )
        return self._batched(prefixed)

    def embed_question(self, text: str) -> NDArray[np.float32]:
        return self.embed_questions([text])[0]

    def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._batched([self._beginning(self._config.query_prefix + text) for text in texts])

    def _beginning(self, text: str) -> str:
        window = self._tokens.window
        while len(text) * 4 > window and (excess := self._tokens.count(text) - window) > 0:
            # What is cut in the middle of a word can count one more than before.
            text = text[: min(self._tokens.starts(text)[-excess], len(text) - 1)]
        return text

    def _batched(self, texts: list[str]) -> NDArray[np.float32]:
        size = self._config.batch_size
        batches = [self._request(texts[begin : begin + size]) for begin in range(0, len(texts), size)]
        return np.concatenate(batches) if batches else np.zeros((0, 0), dtype=np.float32)

    def _request(self, texts: list[str]) -> NDArray[np.float32]:
        body: dict[str, object] = {"model": self._config.model, "input": texts, "encoding_format": "float"}
        if self._config.dimensions:
            body["dimensions"] = self._config.dimensions
        try:
            response = self._client.post(self._address, json=body)
        except httpx.TimeoutException as error:
            raise ServiceError(
                f"no embeddings from {self._shown} within {self._config.timeout_s:g} s",
                mend="raise ingestion.embedding.timeout_s or lower batch_size",
            ) from error
        except (httpx.HTTPError, UnicodeError) as error:
            raise ServiceError(
                f"cannot reach {self._shown}: {type(error).__name__}", mend="check ingestion.embedding.base_url"
            ) from error
        if response.status_code != 200:
            raise self._refused(response)
        return self._vectors(response, len(texts))

    def _refused(self, response: httpx.Response) -> ServiceError:
        said = quoted(response.text, self._key)
        mends = {
            401: "check ingestion.embedding.api_key",
            403: "check ingestion.embedding.api_key",
            404: "check ingestion.embedding.base_url and model",
            429: "wait, or raise the limit at the provider",
        }
        return ServiceError(
            f"{self._shown} answered HTTP {response.status_code}{f': {said}' if said else ''}",
            mend=mends.get(response.status_code),
        )

    def _vectors(self, response: httpx.Response, wanted: int) -> NDArray[np.float32]:
        try:
            rows = sorted(response.json()["data"], key=lambda row: row["index"])
            with np.errstate(over="ignore"):
                vectors = np.asarray([row["embedding"] for row in rows], dtype=np.float32)
        except (ValueError, KeyError, TypeError) as error:
            raise ServiceError(f"{self._shown} answered something that is no list of embeddings") from error
        if vectors.ndim != 2 or len(vectors) != wanted:
            raise ServiceError(f"{self._shown} answered {len(vectors)} vectors for {wanted} texts")
        if not np.isfinite(vectors).all():
            raise ServiceError(f"{self._shown} answered a vector whose numbers are not finite")
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.maximum(norms, 1e-12)
