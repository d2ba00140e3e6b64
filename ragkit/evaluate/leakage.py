"""What would make a figure too good: questions or documents that stand on both sides, answers given away by the corpus.

Checked before a run. Near duplicates are found by MinHash over word triples (Broder 1997, "On the resemblance and
containment of documents"; the library is datasketch).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from ragkit.evaluate.cases import Case, other_names
from ragkit.evaluate.words import tokens
from ragkit.types import Document

if TYPE_CHECKING:
    from datasketch import MinHash

Kind = Literal["same question", "like question", "shared document", "question in the corpus", "test older than tuning"]

ALIKE = 0.7
"""Jaccard likeness of word triples from which two questions count as near duplicates."""
_SHINGLE = 3
_PERMUTATIONS = 128
_LONG_ENOUGH = 5
"""Words below which a question may stand in a text by chance."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A finding: the test question (by id) and what it has in common with which tuning question or document."""

    kind: Kind
    test: str
    other: str
    detail: str = ""


def leaks_of(cases: Sequence[Case], tuning: Collection[str], documents: Iterable[Document]) -> list[Leak]:
    """Everything that would make the figures of a suite too good, `tuning` being the ids of its tuning part."""
    dates: dict[str, str] = {}

    def noted() -> Iterator[Document]:
        for document in documents:
            if document.date_created:
                dates[document.source] = document.date_created
            yield document

    leaks = questions_in(noted(), cases)
    first = [case for case in cases if case.id in tuning]
    second = [case for case in cases if case.id not in tuning]
    return [*leaks_between(first, second), *older_than_tuning(first, second, dates), *leaks]


def leaks_between(tuning: Sequence[Case], test: Sequence[Case]) -> list[Leak]:
    """Questions of the test part that the tuning part has too, nearly has, or has others about the same document of.

    >>> one = Case(id="a", question="How long does the battery of the Hub H4 last?")
    >>> other = Case(id="b", question="How long does the battery of the Hub H4 last")
    >>> leaks_between([one], [other])
    [Leak(kind='same question', test='b', other='a', detail='')]
    """
    known = {" ".join(tokens(case.question)): case for case in tuning}
    index = NearDuplicates()
    for case in tuning:
        index.add(case.id, case.question)
    owner: dict[str, str] = {}
    otherwise: dict[str, str] = {}
    for case in tuning:
        for evidence in case.evidence:
            owner.setdefault(evidence.document, case.id)
            for name in other_names(evidence.document):
                otherwise.setdefault(name, case.id)

    def owner_of(document: str) -> str | None:
        names = (document, *other_names(document))
        return next((owner[name] for name in names if name in owner), otherwise.get(document))

    leaks: list[Leak] = []
    for case in test:
        same = known.get(" ".join(tokens(case.question)))
        if same is not None:
            leaks.append(Leak("same question", case.id, same.id))
        else:
            leaks += [Leak("like question", case.id, other) for other in index.like(case.question)]
        shared = {e.document: other for e in case.evidence if (other := owner_of(e.document)) is not None}
        leaks += [Leak("shared document", case.id, other, name) for name, other in shared.items()]
    return leaks


def questions_in(documents: Iterable[Document], cases: Sequence[Case]) -> list[Leak]:
    """Questions that stand word for word in a document: an FAQ page answers them without any understanding."""
    # By its first words, so that a text is read once however many questions there are.
    wanted: dict[tuple[str, ...], list[tuple[list[str], Case]]] = {}
    for case in cases:
        words = tokens(case.question)
        if len(words) >= _LONG_ENOUGH:
            wanted.setdefault(tuple(words[:_SHINGLE]), []).append((words, case))
    leaks: list[Leak] = []
    for document in documents:
        text = tokens(document.text)
        found = {
            case.id: case
            for at in range(len(text) - _LONG_ENOUGH + 1)
            for words, case in wanted.get(tuple(text[at : at + _SHINGLE]), ())
            if text[at : at + len(words)] == words
        }
        leaks += [Leak("question in the corpus", identity, document.source) for identity in sorted(found)]
    return leaks


def older_than_tuning(tuning: Sequence[Case], test: Sequence[Case], dates: dict[str, str]) -> list[Leak]:
    """Test questions about documents that are older than the newest of the tuning part; `dates` are by document.

    A system is used on what comes after what it was tuned on. Nothing is found where dates are missing or none.
    """
    known: dict[str, list[tuple[datetime, str]]] = {}
    for document, written in dates.items():
        if (moment := _moment(written)) is not None:
            for name in (document, *other_names(document)):
                known.setdefault(name, []).append((moment, written))
    asked = [evidence.document for case in tuning for evidence in case.evidence]
    newest = max((max(known[document]) for document in asked if document in known), default=None)
    if newest is None:
        return []
    return [
        Leak("test older than tuning", case.id, evidence.document, f"{written} before {newest[1]}")
        for case in test
        for evidence in case.evidence
        for moment, written in known.get(evidence.document, [])[:1]
        if moment < newest[0]
    ]


def _moment(written: str) -> datetime | None:
    """A date or time in ISO 8601; without a zone that of UTC."""
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class NearDuplicates:
    """Texts by MinHash; whether they are alike is then counted exactly.

    >>> known = NearDuplicates()
    >>> known.add("a", "How long does the battery of the Hub H4 last?")
    >>> known.like("For how long does the battery of the Hub H4 last?"), known.like("How hot is it?")
    (['a'], [])
    """

    def __init__(self) -> None:
        from datasketch import MinHashLSH

        self._shingles: dict[str, frozenset[str]] = {}
        # The sketches only suggest; with a lower bound they miss next to none of what the exact count takes.
        self._lsh = MinHashLSH(threshold=ALIKE - 0.3, num_perm=_PERMUTATIONS)

    def add(self, identity: str, text: str) -> None:
        """Keep a text under a name that is new."""
        shingles = _shingles(text)
        if shingles:
            self._shingles[identity] = shingles
            self._lsh.insert(identity, _minhash(shingles))

    def like(self, text: str) -> list[str]:
        """Names of the kept texts that this one nearly duplicates."""
        shingles = _shingles(text)
        if not shingles:
            return []
        candidates = [str(each) for each in self._lsh.query(_minhash(shingles))]
        return sorted(each for each in candidates if _likeness(self._shingles[each], shingles) >= ALIKE)


def _shingles(text: str) -> frozenset[str]:
    words = tokens(text)
    return frozenset(" ".join(words[at : at + _SHINGLE]) for at in range(max(1, len(words) - _SHINGLE + 1)) if words)


def _likeness(first: frozenset[str], second: frozenset[str]) -> float:
    return len(first & second) / len(first | second)


def _minhash(shingles: Iterable[str]) -> MinHash:
    from datasketch import MinHash

    signature = MinHash(num_perm=_PERMUTATIONS, seed=1)
    signature.update_batch([shingle.encode("utf-8", "surrogatepass") for shingle in sorted(shingles)])
    return signature
