"""The section `cache`: answers that are given again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from ragkit.config.part import Part, PathField, runtime


def redis_address(url: str) -> str:
    """The address. Raises ValueError, without the address, when it is none of a Redis server, or has a password in it.

    >>> redis_address("redis://localhost:6379/0")
    'redis://localhost:6379/0'
    """
    try:
        parts = urlsplit(url)
        whole = bool(parts.path) if parts.scheme == "unix" else bool(parts.hostname) and parts.port != 0
        whole = whole and re.fullmatch(r"(db=\d+)?", parts.query) is not None and not parts.fragment
        secret = bool(parts.password) or "password=" in parts.query
    except ValueError:  # a port that is no number, a bracket that is not closed
        raise ValueError("this is no address of Redis; write it like redis://localhost:6379/0") from None
    if secret:
        raise ValueError("a password in the address would be shown; set cache.password: ${REDIS_PASSWORD}")
    if not whole or parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("this is no address of Redis; write it like redis://localhost:6379/0")
    return url


RedisAddress = Annotated[str, AfterValidator(redis_address)]


class Cache(Part):
    """Answers that are given again while the documents that they rest on are unchanged."""

    mode: Literal["off", "exact", "semantic"] = "off"
    """exact: to a question of the same words, for the same tenant, under the same filters and config. semantic: to
    one in other words too, if all that can make another answer agrees (numbers, names, negation, direction, ...)."""
    min_similarity: float = Field(default=0.7, ge=0, le=1)
    """semantic: least cosine of two questions; what asks the same is decided by the words."""
    max_false_hits: float | None = Field(default=None, gt=0, le=0.5)
    """semantic: the most that the share of wrong hits may be. An entry is trusted by what came of its hits, and after a
    wrong one nothing is given again in other words while the 95% bound of their share (Clopper and Pearson) is above
    this. null: every hit is given that the words allow."""
    store: Literal["sqlite", "redis"] = runtime(
        "sqlite", description="One file, or a Redis that several servers share."
    )
    path: PathField = runtime(Path(".ragkit/cache.sqlite"), description="sqlite: file of the answers.")
    url: RedisAddress | None = runtime(None, description="redis: address, e.g. redis://localhost:6379/0.")
    password: SecretStr | None = runtime(None, strict=False, description="redis: password; use ${REDIS_PASSWORD}.")
    prefix: str = runtime("ragkit", pattern=r"^[\w.-]{1,64}$", description="redis: what every key begins with.")
    max_entries: int = runtime(10_000, ge=1, le=1_000_000, description="Most answers; the longest unused goes first.")
    max_mb: float = runtime(256.0, gt=0, le=100_000, description="Most megabytes of answers.")
    ttl_s: float | None = runtime(
        2_592_000.0, gt=0, description="An answer is made anew after so many seconds, changed documents or not."
    )

    @model_validator(mode="after")
    def _redis_has_an_address(self) -> Self:
        if self.store == "redis" and self.url is None:
            raise ValueError("store redis needs url, e.g. redis://localhost:6379/0")
        return self
