"""How often hits of the semantic tier were wrong, with a bound for all of them, beside the one that the user set."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragkit.gateway.cache_bound import share_bound, stopped

if TYPE_CHECKING:
    from ragkit.gateway.cache_store import CacheStore, Hit


@dataclass(frozen=True, slots=True)
class Judged:
    """`hits` are those that the cache remembers, `judged` those that people gave a verdict on, `wrong` those of them
    that somebody called wrong. `held` questions were asked anew while hits were stopped, and answers of so many
    could be compared; `differed` of these said something else. The share of wrong ones of both is at most `bound`,
    one-sided at 95%, None without any. `doubted` questions were asked anew as their entry was not trusted with them,
    and count as no hits. `pairs` are the questions of the wrong ones: as asked, and as stored. `allowed` is
    `cache.max_false_hits`, and tenants in `stopped` are given nothing in other words because of it.
    """

    hits: int
    judged: int
    wrong: int
    held: int
    differed: int
    doubted: int
    bound: float | None
    pairs: tuple[tuple[str, str], ...]
    allowed: float | None = None
    stopped: tuple[str, ...] = ()


def judged_hits(store: CacheStore, allowed: float | None = None) -> Judged:
    """What is known of the hits, of all tenants together; each tenant's are held to the bound by themselves.

    A thumb down may be about an answer that was wrong before it was kept, so that the bound is on the safe side.
    People judge what they like, which is no random sample.
    """
    hits = store.hits()
    served = [hit for hit in hits if hit.kind == "served"]
    judged = [hit for hit in served if hit.right is not None]
    held = [hit for hit in hits if hit.kind == "held" and hit.right is not None]
    known = [*judged, *held]
    wrong = [hit for hit in known if not hit.right]
    return Judged(
        hits=len(served),
        judged=len(judged),
        wrong=sum(not hit.right for hit in judged),
        held=len(held),
        differed=sum(not hit.right for hit in held),
        doubted=sum(hit.kind == "doubted" for hit in hits),
        bound=share_bound(len(wrong), len(known)) if known else None,
        pairs=tuple((hit.asked, hit.stored) for hit in wrong),
        allowed=allowed,
        stopped=() if allowed is None else _stopped(known, allowed),
    )


def _stopped(known: list[Hit], allowed: float) -> tuple[str, ...]:
    counts: defaultdict[str, list[bool]] = defaultdict(list)
    for hit in known:
        counts[hit.tenant].append(bool(hit.right))
    return tuple(sorted(t for t, each in counts.items() if stopped(each.count(False), len(each), allowed)))
