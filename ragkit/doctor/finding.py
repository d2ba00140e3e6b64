"""What is found when an installation is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ragkit.config.schema import Config, Generation

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and what mends it."""

    check: str
    status: Status
    detail: str
    mend: str | None = None


def answering(config: Config) -> list[tuple[str, Generation]]:
    """What may write an answer, with the name of its place in the config: each endpoint, or `generation`."""
    endpoints = config.routing.endpoints
    several = [(f"routing.endpoints.{each.name}", each.over(config.generation)) for each in endpoints]
    return several or [("generation", config.generation)]
