"""Which endpoints a question may go to, and in which order they are tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import random

from ragkit.config.routing import Endpoint, Routing, Rule
from ragkit.types import ScoredChunk

Chance = Callable[[], float]
"""A number from 0 to 1, each as likely as any other."""


def order(
    routing: Routing,
    question: str,
    results: Sequence[ScoredChunk] = (),
    *,
    task: str | None = None,
    tenant: str = "",
    chance: Chance = random,
) -> list[str]:
    """The names of the endpoints for a question, the one to try first in front.

    >>> two = [Endpoint(name="a"), Endpoint(name="b")]
    >>> order(Routing(endpoints=two), "how?"), order(Routing(endpoints=two, policy="single"), "how?")
    (['a', 'b'], ['a'])
    """
    names = [endpoint.name for endpoint in routing.endpoints]
    if routing.policy == "single":
        return names[:1]
    if routing.policy == "weighted":
        return _by_weight(routing.endpoints, chance)
    pair = next((pair for name, pair in routing.tasks.items() if name == task), None)
    if routing.policy == "tasks" and pair is not None:
        first, second = (pair.best, pair.economical) if routing.prefer == "best" else (pair.economical, pair.best)
        return list(dict.fromkeys((first, second)))
    if routing.policy == "rules":
        for rule in routing.rules:
            if _holds(rule, question, results, task, tenant):
                return rule.endpoints
    return names


def _by_weight(endpoints: Sequence[Endpoint], chance: Chance) -> list[str]:
    """Drawn one by one without putting back (Efraimidis and Spirakis 2006); those of weight 0 last."""
    keys = {
        endpoint.name: -math.log(1.0 - chance()) / endpoint.weight if endpoint.weight else math.inf
        for endpoint in endpoints
    }
    return sorted(keys, key=lambda name: keys[name])


def _holds(rule: Rule, question: str, results: Sequence[ScoredChunk], task: str | None, tenant: str) -> bool:
    if rule.task is not None and rule.task != task:
        return False
    if rule.tenant is not None and rule.tenant != tenant:
        return False
    if rule.min_length is not None and len(question) < rule.min_length:
        return False
    if rule.max_length is not None and len(question) > rule.max_length:
        return False
    return all(any(_has(result, key, value) for result in results) for key, value in rule.metadata.items())


def _has(result: ScoredChunk, key: str, value: object) -> bool:
    found = result.chunk.metadata.get(key)
    return value in found if isinstance(found, list) else found == value
