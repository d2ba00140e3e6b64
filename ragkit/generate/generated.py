"""What a generator hands back, and how its refusals are recognised."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ragkit.generate.citation_lifting import without_any
from ragkit.generate.cited_chunks import names_of
from ragkit.generate.prompt import restore
from ragkit.types import Attempt, Chunk, Usage


@dataclass(frozen=True, slots=True)
class Generated:
    """A model's answer, before its citations are checked.

    `used` are the chunks that stood in the prompt, in the order of their block numbers: `used[0]` is `[1]`.
    `finish_reason` is the service's own word for why the text ends ("stop", "length"; "repetition" where we stopped a
    model that went on saying the same). `notes` tell the reader what did not go as asked, such as passages left out.
    `attempts` and `degraded` are those of `Answer`.
    """

    text: str
    usage: Usage
    model: str
    refused: bool
    finish_reason: str
    used: tuple[Chunk, ...]
    notes: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    degraded: bool = False


def generated_from(
    text: str, *, usage: Usage, model: str, finish_reason: str, used: tuple[Chunk, ...], notes: tuple[str, ...] = ()
) -> Generated:
    """A model's answer from its text; a refusal that cites is a refusal."""
    ended = _ENDED.get(finish_reason)
    all_notes = (*notes, ended) if ended else notes
    said = without_any(restore(text), used, names_of(used))
    return Generated(text, usage, model, is_refusal(said), finish_reason, used, all_notes)


_ENDED = {
    "length": "the answer is cut off: it reached generation.max_tokens",
    "repetition": "the answer was stopped: the model said the same again and again",
    "content_filter": "the answer is cut off: the service's content filter withheld the rest",
}


def whole_of(last: str | Generated) -> Generated:
    """What a generator's stream must end with."""
    if isinstance(last, str):
        raise RuntimeError("a generator's stream ended without its Generated")
    return last


# The refusal however it is typed; what follows in the sentence ("about X") belongs to it.
_REFUSAL = re.compile(r"\bi (?:don'?t|do not) have enough information\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_TURN = re.compile(r"[,;:]?\s+(?:but|however|although|though|yet)\s+", re.IGNORECASE)
# Talk about the task itself, which adds nothing to a refusal.
_PLEASANTRY = re.compile(
    r"\b(?:sorry|apologi\w+|unfortunately|afraid|context|provided|please|question|let me know|rephras\w+"
    r"|based on)\b",
    re.IGNORECASE,
)
_PLEASANTRY_WORDS = 12


# What introduces an answer or its sources, and says nothing itself.
_LABELS = ("answer", "response", "sources?", "references?", "citations?")


def says_nothing(text: str) -> bool:
    """Whether a text (without its citations) holds nothing but list marks and labels such as "Sources:".

    >>> says_nothing("Sources:\\n- \\n- "), says_nothing("().") , says_nothing("Answer: 42")
    (True, True, False)
    """
    # A tick or a euro is an answer; dashes, dots and brackets are none.
    bare = re.sub(rf"\b(?:{'|'.join(_LABELS)})\b\s*:|[-*•()\[\]{{}}.,:;#>\"'`_\s]", "", text.casefold())
    return not bare


def is_refusal(text: str) -> bool:
    """Whether the text is the refusal sentence, give or take, with nothing substantial beside it.

    Tolerated: case, curly apostrophes, "do not", a missing full stop, quotation marks, "to answer ...", an
    apology, up to twelve words about the context or the question. Anything else beside it (a figure, a
    citation, a statement) makes the text an answer.

    >>> is_refusal("I don’t have enough information")
    True
    >>> is_refusal("Sorry, but I do not have enough information to answer this.")
    True
    >>> is_refusal("I don't have enough information about prices. The battery lasts 10 hours.")
    False
    """
    found = False
    for sentence in _SENTENCE_END.split(text.replace("’", "'").replace("ʼ", "'").strip()):
        # What follows a "but" counts for itself: a refusal of one half must not hide an answer to the other.
        for clause in _TURN.split(sentence):
            refusal = _REFUSAL.search(clause)
            if refusal is None:
                if not _adds_nothing(clause):
                    return False
            elif not _adds_nothing(clause[: refusal.start()]):
                return False
            else:
                found = True
    return found


def _adds_nothing(clause: str) -> bool:
    words = re.findall(r"\w+", clause)
    if says_nothing(clause):
        return True
    if re.search(r"[\d\[\]【】]", clause) or len(words) > _PLEASANTRY_WORDS:
        return False
    return _PLEASANTRY.search(clause) is not None
