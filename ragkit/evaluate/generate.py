"""Make questions from the user's own corpus: a sentence that states a fact, the question that it answers.

Questions are written by templates, or by the config's language model. Each is kept only if the system finds its
sentence with it, and if it is no near duplicate of one that was kept. What comes out is marked synthetic and is for a
person to read, mend and thin out; figures on it say how well the system finds what it was shown, which is easier than
life.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ragkit.evaluate.cases import Case, Evidence
from ragkit.evaluate.gold import holds
from ragkit.evaluate.leakage import NearDuplicates
from ragkit.ingest.sentences import split_sentences
from ragkit.system import Ragkit
from ragkit.types import Document

Writer = Callable[[str, str], str | None]
"""(sentence, title of its document) to a question, or None when it finds none."""

_FEWEST_WORDS, _MOST_WORDS = 5, 40
_TRIED_FOR_EACH = 30
"""Sentences looked at for each question that is wanted, before giving up."""

_SUBJECT = (
    r"(?P<subject>(?:The|An?|Each|Every|One)\s[\w\s()/-]{2,50}?"
    r"|[A-Z][\w-]*(?:\s(?:[A-Z0-9][\w-]*|of|the|and)){0,5}?|[A-Z]\w+\s[a-z]+s)"
)
_BE = r"(?P<verb>is|are|was|were)"
_AMOUNT = re.compile(
    rf"^{_SUBJECT}\s(?P<verb>lasts|takes|needs|requires|costs|holds|contains|supports|serves|weighs|keeps|stores|includes)"
    r"\s(?P<answer>(?:(?:up\sto|at\smost|at\sleast|approx\.|about|around)\s)?\d[\d.,]*\s?\S[^.;:,]{0,40})[^;:]*\.$"
)
_PASSIVE = re.compile(
    rf"^{_SUBJECT}\s{_BE}\s(?P<done>(?:not\s|only\s)?\w+(?:ed|wn|nt|lt|id|en|ble|und))\s"
    r"(?P<how>by|on|in|at|to|for|with|from|after|until|within)\s(?P<answer>[^;:]{2,120})\.$"
)
_NAMED = re.compile(rf"^{_SUBJECT}\s{_BE}\s(?P<answer>(?:an?\s|the\s|\d|[A-Z])[^;:]{{2,120}})\.$")
_BASE = {"requires": "require", "stores": "store", "includes": "include", "serves": "serve", "takes": "take"}
_PRONOUNS = re.compile(r"^(?:It|This|That|These|Those|There|They|He|She|We|You|I|Here|Such|Both)\b")


def by_template(sentence: str, title: str = "") -> str | None:
    """A question in plain English that the sentence answers, None for sentences that no template fits.

    >>> by_template("The battery of the Hub lasts up to 8 hours.")
    'How much or how many does the battery of the Hub last?'
    >>> by_template("The data protection officer is Helene Aasgaard.")
    'Who or what is the data protection officer?'
    >>> by_template("The batch number is printed on the yellow sleeve.")
    'On what is the batch number printed?'
    >>> by_template("It is cold.") is None
    True
    """
    del title
    if _PRONOUNS.match(sentence):
        return None
    if amount := _AMOUNT.match(sentence):
        base = _BASE.get(amount["verb"], amount["verb"].removesuffix("s"))
        return f"How much or how many does {_inside(amount['subject'])} {base}?"
    if passive := _PASSIVE.match(sentence):
        asked = f"{passive['how'].capitalize()} {'when' if passive['how'] == 'until' else 'what'}"
        return f"{asked} {passive['verb']} {_inside(passive['subject'])} {passive['done']}?"
    if named := _NAMED.match(sentence):
        return f"Who or what {named['verb']} {_inside(named['subject'])}?"
    return None


def _inside(subject: str) -> str:
    """The subject as it stands within a sentence: an article in lower case, names as they are."""
    first, space, rest = subject.partition(" ")
    return f"{first.lower() if first in ('The', 'A', 'An', 'Each', 'Every', 'One') else first}{space}{rest}"


def by_model(rag: Ragkit) -> Writer:
    """A writer that asks the config's language model for one question; what is no sentence with a "?" is dropped."""
    from ragkit.types import Chunk, ScoredChunk

    def write(sentence: str, title: str) -> str | None:
        asked = f"Write one short question that this sentence answers, and nothing else. It is about {title}."
        chunk = Chunk("sentence", "sentence", sentence, 0, len(sentence), 0, {"source_document": title or "text"})
        reply = rag.generator.generate(asked, [ScoredChunk(chunk, 1.0, {})]).text.strip()
        question = re.sub(r"\s*\[[^\]]*\]", "", reply.splitlines()[0] if reply else "").strip(" \"'")
        return question if question.endswith("?") and len(question.split()) >= 3 else None

    return write


@dataclass(frozen=True, slots=True)
class Made:
    """The questions, and how many sentences were dropped for which reason."""

    cases: tuple[Case, ...]
    dropped: dict[str, int]


def generate_cases(rag: Ragkit, count: int, *, writer: Writer = by_template, seed: int = 0) -> Made:
    """At most `count` questions over the documents of the index, each a fact of another sentence.

    Dropped are sentences that no question was found for ("no question"), questions that do not bring their sentence
    back among the results ("not found again"), and near duplicates ("near duplicate").
    """
    chooser = random.Random(seed)  # noqa: S311 - draws a sample
    duplicates = NearDuplicates()
    cases: list[Case] = []
    dropped = {"no question": 0, "not found again": 0, "near duplicate": 0}
    for tried, (document, start, end) in enumerate(_sentences(rag, chooser)):
        if len(cases) == count or tried == count * _TRIED_FOR_EACH:
            break
        sentence = " ".join(document.text[start:end].split())
        question = writer(sentence, document.title)
        if question is None:
            dropped["no question"] += 1
        elif duplicates.like(question):
            dropped["near duplicate"] += 1
        elif not any(
            r.chunk.document_id == document.id and holds(r.chunk, [(start, end)]) for r in rag.search(question)
        ):
            dropped["not found again"] += 1
        else:
            identity = f"g{len(cases) + 1:04d}"
            duplicates.add(identity, question)
            evidence = (Evidence(document=document.source, quote=sentence),)
            answer = (_answer(sentence),)
            cases.append(Case(id=identity, question=question, answers=answer, evidence=evidence, synthetic=True))
    return Made(tuple(cases), dropped)


def _answer(sentence: str) -> str:
    """The part of the sentence that a template asks for, else all of it."""
    found = _AMOUNT.match(sentence) or _PASSIVE.match(sentence) or _NAMED.match(sentence)
    return found["answer"].strip() if found else sentence


def _sentences(rag: Ragkit, chooser: random.Random) -> Iterator[tuple[Document, int, int]]:
    """Sentences of the indexed documents in random order, one of each document in turn."""
    manifest = rag.snapshot().manifest
    language = rag.config.ingestion.chunking.language
    ids = [entry.id for entry in manifest.entries() if entry.chunks]
    places: dict[str, list[tuple[int, int]]] = {}
    while ids:
        chooser.shuffle(ids)
        for identity in list(ids):
            document = manifest.document(identity)
            if document is None:
                ids.remove(identity)
                continue
            if identity not in places:
                found = [
                    (s, e) for s, e in split_sentences(document.text, language) if _states_a_fact(document.text[s:e])
                ]
                places[identity] = chooser.sample(found, len(found))
            if not places[identity]:
                ids.remove(identity)
                continue
            yield document, *places[identity].pop()


def _states_a_fact(sentence: str) -> bool:
    """A whole sentence with a name or a figure, neither too short nor too long."""
    words = sentence.split()
    if not _FEWEST_WORDS <= len(words) <= _MOST_WORDS or not sentence[0].isupper() or sentence[-1] != ".":
        return False
    return any(any(sign.isdigit() for sign in word) or word[0].isupper() for word in words[1:])
