"""Whether two answers say the same, by what they cite and by their words: a label for a pair of questions that needs no
person. In between nothing is said: a model may put one answer in two ways."""

from __future__ import annotations

import re

from ragkit.generate.support import SUPPORTED, support_score
from ragkit.types import Answer

SAME = 0.8
"""Least support of each answer by the other from which on they say the same; chosen."""
_MARK = re.compile(r"\[[^\[\]]*\]")


def same_answer(one: Answer, other: Answer) -> bool | None:
    """True if the answers back each other word by word and cite a passage in common, or none at all, or both refuse;
    False if one refuses, or neither backs the other (another number, name or negation is enough); else None."""
    if one.refused or other.refused:
        return one.refused == other.refused
    texts = [_MARK.sub(" ", answer.text).strip() for answer in (one, other)]
    if texts[0] == texts[1]:
        backed = (1.0, 1.0)
    else:
        backed = (support_score(texts[0], texts[1]), support_score(texts[1], texts[0]))
    if max(backed) < SUPPORTED:
        return False
    cited = [{citation.chunk_id for citation in answer.citations} for answer in (one, other)]
    together = bool(cited[0] & cited[1]) or not (cited[0] or cited[1])
    return True if min(backed) >= SAME and together else None
