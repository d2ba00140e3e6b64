"""What would make a figure too good: questions or documents that stand on both sides, answers given away by the corpus.

Checked before a run. Near duplicates are found by MinHash (Broder 1997, "On the resemblance and containment of
documents"; the library is datasketch): of questions over their words, of documents over pairs of words.
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

Kind = Literal[
    "same question",
    "like question",
    "shared document",
    "like document",
    "question in the corpus",
    "test older than tuning",
]

ALIKE = 0.7
"""Jaccard likeness of words, or of pairs of words, from which two texts count as near duplicates."""
_BEGINNING = 3
"""Words by which the questions that may stand in a text are looked up."""
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
    first = [case for case in cases if case.id in tuning]
    second = [case for case in cases if case.id not in tuning]
    texts = _AskedDocuments(first, second)

    def noted() -> Iterator[Document]:
        for document in documents:
            if document.date_created:
                dates[document.source] = document.date_created
            texts.add(document)
            yield document

    leaks = questions_in(noted(), cases)
    return [*leaks_between(first, second), *texts.leaks(), *older_than_tuning(first, second, dates), *leaks]


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


def like_documents(tuning: Sequence[Case], test: Sequence[Case], documents: Iterable[Document]) -> list[Leak]:
    """Documents of the test part whose text is nearly that of a document of the tuning part, under another name."""
    texts = _AskedDocuments(tuning, test)
    for document in documents:
        texts.add(document)
    return texts.leaks()


class _AskedDocuments:
    """The texts of the documents that only one part asks about, one after the other."""

    def __init__(self, tuning: Sequence[Case], test: Sequence[Case]) -> None:
        self._tuning, self._test = _askers(tuning), _askers(test)
        self._known = NearDuplicates(words=2)
        self._others: list[tuple[str, str, frozenset[str]]] = []

    def add(self, document: Document) -> None:
        names = (document.source, *other_names(document.source))
        tuned = next((self._tuning[name] for name in names if name in self._tuning), None)
        tested = next((self._test[name] for name in names if name in self._test), None)
        if tuned is not None and tested is None:
            self._known.add(document.source, document.text)
        elif tested is not None and tuned is None:
            self._others.append((tested, document.source, _shingles(document.text, 2)))

    def leaks(self) -> list[Leak]:
        return [
            Leak("like document", case, other, source)
            for case, source, shingles in self._others
            for other in self._known.alike(shingles)
        ]


def _askers(cases: Sequence[Case]) -> dict[str, str]:
    """The first question of each document, by every name that its label may mean."""
    found: dict[str, str] = {}
    for case in cases:
        for evidence in case.evidence:
            found.setdefault(evidence.document, case.id)
    return found


def questions_in(documents: Iterable[Document], cases: Sequence[Case]) -> list[Leak]:
    """Questions that stand word for word in a document: an FAQ page answers them without any understanding."""
    # By its first words, so that a text is read once however many questions there are.
    wanted: dict[tuple[str, ...], list[tuple[list[str], Case]]] = {}
    for case in cases:
        words = tokens(case.question)
        if len(words) >= _LONG_ENOUGH:
            wanted.setdefault(tuple(words[:_BEGINNING]), []).append((words, case))
    leaks: list[Leak] = []
    for document in documents:
        text = tokens(document.text)
        found = {
            case.id: case
            for at in range(len(text) - _LONG_ENOUGH + 1)
            for words, case in wanted.get(tuple(text[at : at + _BEGINNING]), ())
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
    """Texts by MinHash; whether they are alike is then counted exactly, over `words` words in a row.

    Over single words, for questions, a number or name that only one has makes another question: "the Hub H4" is not
    "the Hub H5". A name is a word with a capital that does not begin the text. Between the halves of XQuAD in English
    (588 and 602 questions, by article) nothing is flagged; among all its questions 14 pairs are, of which 6 ask
    something else, such as when instead of who.

    >>> known = NearDuplicates()
    >>> known.add("a", "How long does the battery of the Hub H4 last?")
    >>> known.like("For how long can the battery of the Hub H4 last?"), known.like("How hot is it?")
    (['a'], [])
    >>> known.like("How long does the battery of the Hub H5 last?")
    []
    """

    def __init__(self, words: int = 1) -> None:
        from datasketch import MinHashLSH

        self._words = words
        self._shingles: dict[str, frozenset[str]] = {}
        self._distinct: dict[str, frozenset[str]] = {}
        # The sketches only suggest; with a lower bound they miss next to none of what the exact count takes.
        self._lsh = MinHashLSH(threshold=ALIKE - 0.3, num_perm=_PERMUTATIONS)

    def add(self, identity: str, text: str) -> None:
        """Keep a text under a name that is new."""
        shingles = _shingles(text, self._words)
        if shingles:
            self._shingles[identity] = shingles
            self._distinct[identity] = _numbers_and_names(text) if self._words == 1 else frozenset()
            self._lsh.insert(identity, _minhash(shingles))

    def like(self, text: str) -> list[str]:
        """Names of the kept texts that this one nearly duplicates."""
        shingles = _shingles(text, self._words)
        found = self.alike(shingles)
        if self._words > 1:
            return found
        own = _numbers_and_names(text)
        return [each for each in found if own <= self._shingles[each] and self._distinct[each] <= shingles]

    def alike(self, shingles: frozenset[str]) -> list[str]:
        """Names of the kept texts that have most of these in common, whatever their numbers and names."""
        if not shingles:
            return []
        candidates = [str(each) for each in self._lsh.query(_minhash(shingles))]
        return sorted(each for each in candidates if _likeness(self._shingles[each], shingles) >= ALIKE)


def _shingles(text: str, size: int) -> frozenset[str]:
    words = tokens(text)
    return frozenset(" ".join(words[at : at + size]) for at in range(max(1, len(words) - size + 1)) if words)


def _numbers_and_names(text: str) -> frozenset[str]:
    """Words with a digit, and those with a capital behind the first, in lower case."""
    _, _, behind = text.strip().partition(" ")
    names = {word for each in behind.split() if any(sign.isupper() for sign in each) for word in tokens(each)}
    return frozenset(names | {word for word in tokens(text) if any(sign.isdigit() for sign in word)})


def _likeness(first: frozenset[str], second: frozenset[str]) -> float:
    return len(first & second) / len(first | second)


def _minhash(shingles: Iterable[str]) -> MinHash:
    from datasketch import MinHash

    signature = MinHash(num_perm=_PERMUTATIONS, seed=1)
    signature.update_batch([shingle.encode("utf-8", "surrogatepass") for shingle in sorted(shingles)])
    return signature
