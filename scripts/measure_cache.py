"""What the semantic cache gets right, how quick a hit is, and what a change of the documents does to its entries.

    python scripts/measure_cache.py DATA pairs [--part tune]   hits and false hits on hard pairs, beside thresholds
    python scripts/measure_cache.py DATA bounded               the same within a bound on wrong hits, with feedback
    python scripts/measure_cache.py DATA labels                what two answers beside each other say of their questions
    python scripts/measure_cache.py DATA latency               milliseconds of a whole hit, its embedding included
    python scripts/measure_cache.py DATA stores [--redis URL]  milliseconds of a store's calls with ten thousand entries
    python scripts/measure_cache.py DATA stale                 1% of the documents edited, deleted, and outdone

DATA has the folders banking77, clinc-oos, qed, xquad-en and train. `pairs` asks one question after another as people
would ask a cache that is empty at first; a question that is no hit becomes an entry. A hit is right if both questions
have one source question, or one intent of CLINC150 that takes no details; within other intents nobody knows, so those
hits are counted apart. Different intents, and a question beside one in which a number, a name or a word was exchanged,
are never the same.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ragkit import Answer, Config, Ragkit
from ragkit.config.caching import Cache
from ragkit.embed import make_embedder
from ragkit.evaluate.statistics import rare_event_bound
from ragkit.gateway.cache_bound import Label, stopped, trusted
from ragkit.gateway.cache_entry import Entry, exact_key
from ragkit.gateway.cache_store import open_store
from ragkit.gateway.same_answer import same_answer
from ragkit.gateway.same_question import differences

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED = 11
LEAST, CANDIDATES = 0.7, 16
THRESHOLDS = [round(0.70 + step * 0.01, 2) for step in range(31)]

# Intents of CLINC150 whose questions have no details that could differ.
WITHOUT_DETAILS = frozenset(
    (
        "meaning_of_life", "what_is_your_name", "who_made_you", "how_old_are_you", "where_are_you_from", "tell_joke",
        "flip_coin", "roll_dice", "what_are_your_hobbies", "do_you_have_pets", "are_you_a_bot", "who_do_you_work_for",
        "what_can_i_ask_you", "fun_fact", "next_holiday", "pto_balance", "credit_score", "payday", "mpg",
        "tire_pressure", "current_location", "what_song", "user_name", "reset_settings", "sync_device",
    )
)  # fmt: skip
# Wrappers: for tuning, and others for the test, that same_question.py was not written by.
WRAPPERS = {
    "tune": (
        "Can you tell me {q}", "Please tell me {q}", "I would like to know {q}", "Do you know {q}", "Hi, {q} Thanks!",
        "could you explain {q}",
    ),
    "test": (
        "Would anyone be able to say {q}", "Hey there! {Q}", "I was asked {q}", "Just wondering, {q}",
        "A colleague wants to know {q}", "Hello team, {q} Many thanks in advance.", "{Q} Please and thank you",
        "I'd really like to find out {q}", "Might you happen to know {q}", "can somebody tell us {q}",
    ),
}  # fmt: skip
EXCHANGED = (
    ("before", "after"), ("first", "last"), ("largest", "smallest"), ("most", "least"), ("north", "south"),
    ("east", "west"), ("more", "less"), ("highest", "lowest"), ("earliest", "latest"), ("maximum", "minimum"),
    ("oldest", "youngest"), ("increase", "decrease"), ("win", "lose"), ("won", "lost"), ("start", "end"),
    ("began", "ended"), ("male", "female"), ("mother", "father"), ("higher", "lower"), ("major", "minor"),
    ("who", "where"), ("when", "where"), ("why", "when"), ("is", "was"), ("with", "without"),
)  # fmt: skip
QUESTION_WORDS = frozenset(("what", "who", "when", "where", "which", "why", "how", "in", "does", "is", "did", "whose"))
_NAME = re.compile(r"(?<!^)\b[A-Z][a-z]+(?: [A-Z][a-z]+)*")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question; `same` names what it asks (None: nobody knows beside its `group`, outside of which it is another)."""

    text: str
    group: str
    same: str | None
    kind: str


def rows_of(path: Path) -> list[dict[str, Any]]:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def qrels(data: Path) -> list[dict[str, str]]:
    with (data / "xquad-en" / "qrels" / "test.tsv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def base_questions(data: Path, part: str, rng: random.Random) -> list[str]:
    """Questions of articles and searches; those of the two parts share no article."""
    xquad = rows_of(data / "xquad-en" / "queries.jsonl")
    articles = {row["query-id"]: int(row["corpus-id"].split("-")[0]) for row in qrels(data)}
    mine = [row["text"] for row in xquad if (articles[row["_id"]] >= 24) == (part == "test")]
    qed = data / "qed" / "dev.jsonl" if part == "test" else data / "train" / "qed-train.jsonl.gz"
    searched = [row["question"] for row in rows_of(qed)]
    # The same question twice has one answer.
    chosen = [*rng.sample(mine, min(300, len(mine))), *rng.sample(searched, 300)]
    return list({"".join(re.findall(r"\w+", question.lower())): question.strip() for question in chosen}.values())


def reworded(question: str, part: str, rng: random.Random) -> list[str]:
    """Two ways to ask the same: in a wrapper, and with what never changes a meaning."""
    small = question[:1].lower() + question[1:] if question.split()[0].lower() in QUESTION_WORDS else question
    wrapper = rng.choice(WRAPPERS[part])
    plain = question.rstrip("? ")
    ways = (plain.lower(), plain + " ?", plain.replace("What is", "What's"), plain.replace("Which", "What"))
    other = rng.choice(ways)
    return [wrapper.replace("{q}", small).replace("{Q}", question), other]


def turned(question: str, names: Sequence[str], rng: random.Random) -> list[tuple[str, str]]:
    """Near questions that ask something else, each with what was changed."""
    found: list[tuple[str, str]] = []
    if numbers := re.findall(r"\d+", question):
        number = rng.choice(numbers)
        found.append(("number", question.replace(number, str(int(number) + rng.choice((1, 2, 10))), 1)))
    own = _NAME.findall(question)
    if own:
        name = rng.choice(own)
        other = rng.choice([each for each in names if each[:4] != name[:4]])
        found.append(("name", question.replace(name, other, 1)))
    if len(own) == 2 and not re.search(rf"{re.escape(own[0])},? (?:and|or|in|of) ", question) and own[0] != own[1]:
        found.append(("roles", question.replace(own[0], "\0").replace(own[1], own[0]).replace("\0", own[1])))
    for one, other in EXCHANGED:
        for here, there in ((one, other), (other, one)):
            if re.search(rf"\b{here}\b", question, re.IGNORECASE):
                found.append((here, re.sub(rf"\b{here}\b", there, question, count=1, flags=re.IGNORECASE)))
    if re.search(r"\b(?:did|does|do|is|are|was|were|can)\b(?! not)", question):
        found.append(("negation", re.sub(r"\b(did|does|do|is|are|was|were|can)\b", r"\1 not", question, count=1)))
    rng.shuffle(found)
    return [(what, text) for what, text in found if text.lower() != question.lower()][:3]


def stream(data: Path, part: str, rng: random.Random) -> list[list[Asked]]:
    """Groups of questions that are near one another."""
    base = base_questions(data, part, rng)
    names = sorted({name for question in base for name in _NAME.findall(question)})
    groups: list[list[Asked]] = []
    for number, question in enumerate(base):
        same = f"q{number}"
        group = [Asked(question, same, same, "as is")]
        group += [Asked(text, same, same, "reworded") for text in reworded(question, part, rng)]
        group += [Asked(text, f"{same}/{what}", f"{same}/{what}", what) for what, text in turned(question, names, rng)]
        groups.append(group)
    intents: dict[str, list[str]] = {}
    with (data / "banking77" / f"{'test' if part == 'test' else 'train'}.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            intents.setdefault(f"banking/{row['category']}", []).append(row["text"])
    clinc = json.loads((data / "clinc-oos" / "data_small.json").read_text(encoding="utf-8"))
    for text, intent in clinc["test" if part == "test" else "val"]:
        intents.setdefault(f"clinc/{intent}", []).append(text)
    for intent, texts in intents.items():
        same = intent if intent.removeprefix("clinc/") in WITHOUT_DETAILS else None
        chosen = texts if same else rng.sample(texts, min(12, len(texts)))
        groups.append([Asked(text, intent, same, "intent") for text in chosen])
    return groups


def ordered(count: int, vectors: NDArray[np.float32], rng: random.Random, order: str) -> list[int]:
    """Places in the flat list: shuffled, or so that every question comes right behind its nearest."""
    places = list(range(count))
    if order == "random":
        rng.shuffle(places)
        return places
    left, path, here = np.ones(count, dtype=bool), [0], 0
    left[0] = False
    for _ in range(count - 1):
        here = int(np.where(left, vectors @ vectors[here], -2.0).argmax())
        left[here] = False
        path.append(here)
    return path


@dataclass(slots=True)
class Count:
    right: int = 0
    wrong: int = 0
    unknown: int = 0

    def add(self, one: Asked, other: Asked) -> bool | None:
        """Whether a hit was right; None where nobody knows."""
        sets = {each.group.split("/")[0] for each in (one, other)}
        if sets == {"banking", "clinc"}:  # their intents overlap, and nobody compared them
            self.unknown += 1
            return None
        if one.group != other.group:
            self.wrong += 1
            return False
        if one.same is None:
            self.unknown += 1
            return None
        self.right += 1
        return True

    @property
    def share(self) -> float:
        return self.wrong / max(1, self.right + self.wrong)

    def line(self) -> str:
        judged = self.right + self.wrong
        bound = rare_event_bound(self.wrong, judged) if judged else 1.0
        known = f"{self.right:5} right {self.wrong:4} wrong ({self.share:.2%}, at most {bound:.2%})"
        return f"{known} {self.unknown:4} unknown"


def by_words(
    asked: Sequence[Asked], places: Sequence[int], vectors: NDArray[np.float32], least: float
) -> tuple[Count, list[tuple[Asked, Asked]], list[float]]:
    count, wrong, similarities = Count(), list[tuple[Asked, Asked]](), list[float]()
    entries: list[int] = []
    keys: dict[str, int] = {}
    held = np.zeros((len(places), vectors.shape[1]), dtype=np.float32)
    for place in places:
        one = asked[place]
        hit = keys.get(exact_key(one.text))
        if hit is None and entries:
            cosines = held[: len(entries)] @ vectors[place]
            for row in [int(row) for row in np.argsort(-cosines)[:CANDIDATES]]:
                if cosines[row] >= least and not differences(one.text, asked[entries[row]].text):
                    hit = entries[row]
                    similarities.append(float(cosines[row]))
                    break
        if hit is None:
            held[len(entries)] = vectors[place]
            entries.append(place)
            keys[exact_key(one.text)] = place
        elif count.add(one, asked[hit]) is False:
            wrong.append((one, asked[hit]))
    return count, wrong, similarities


def by_threshold(asked: Sequence[Asked], places: Sequence[int], vectors: NDArray[np.float32], least: float) -> Count:
    count, entries = Count(), list[int]()
    held = np.zeros((len(places), vectors.shape[1]), dtype=np.float32)
    for place in places:
        if entries:
            cosines = held[: len(entries)] @ vectors[place]
            row = int(cosines.argmax())
            if cosines[row] >= least:
                count.add(asked[place], asked[entries[row]])
                continue
        held[len(entries)] = vectors[place]
        entries.append(place)
    return count


def pairs(data: Path, part: str) -> None:
    rng = random.Random(SEED)
    asked = [each for group in stream(data, part, rng) for each in group]
    vectors = make_embedder(Config().ingestion.embedding).embed_questions([each.text for each in asked])
    kinds = {kind: sum(each.kind == kind for each in asked) for kind in ("as is", "reworded", "intent")}
    print(f"{part}: {len(asked)} questions: {kinds}, the others turned round")
    for order in ("random", "adversarial"):
        places = ordered(len(asked), vectors, rng, order)
        print(f"\n{order} order")
        count, wrong, similarities = by_words(asked, places, vectors, LEAST)
        print(f"  words, cosine from {LEAST}: {count.line()}")
        if similarities:
            shares = np.percentile(similarities, [0, 1, 5])
            print(f"  cosines of its hits: least {shares[0]:.3f}, 1% {shares[1]:.3f}, 5% {shares[2]:.3f}")
        counts = {least: by_threshold(asked, places, vectors, least) for least in THRESHOLDS}
        for most in (count.share, 0.01, 0.02, 0.05):
            allowed = {least: each for least, each in counts.items() if each.share <= most}
            best = max(allowed, key=lambda least: allowed[least].right, default=None)
            told = "none" if best is None else f"{best:.3f}: {allowed[best].line()}"
            times = count.right / max(1, allowed[best].right) if best is not None else float("inf")
            print(f"  best cosine threshold with at most {most:.2%} wrong: {told}  (words: {times:.1f} times the hits)")
        for one, other in wrong:
            print(f"    wrong: {one.text!r} ({one.kind}, {one.group}) from {other.text!r} ({other.group})")


@dataclass(slots=True)
class Bounded:
    """What came of a stream: hits in other words and in the same, questions that were asked anew for want of trust, and
    those while hits were stopped."""

    count: Count
    exact: Count
    doubted: int = 0
    held: int = 0


@cache
def apart(one: str, other: str) -> bool:
    return bool(differences(one, other))


def by_bound(
    asked: Sequence[Asked],
    places: Sequence[int],
    cosines: NDArray[np.float32],
    most_wrong: float | None,
    told_share: float,
    rng: random.Random,
    *,
    least: float = LEAST,
    words: bool = True,
) -> Bounded:
    """The look-up of `AnswerCache` over one stream. Of every hit a user says with probability `told_share` whether it
    was right; answers that are made anew are compared without an error. Neither is told where nobody knows."""
    found, entries, keys = Bounded(Count(), Count()), list[int](), dict[str, int]()
    labels: dict[int, list[Label]] = {}
    wrong = judged = 0
    for place in places:
        one, hit, doubted = asked[place], keys.get(exact_key(asked[place].text)), None
        if hit is None and entries:
            near = cosines[place, entries]
            for row in [int(row) for row in np.argsort(-near)[: CANDIDATES if words else 1]]:
                similarity, entry = float(near[row]), entries[row]
                if similarity < least or (words and apart(one.text, asked[entry].text)):
                    continue
                if most_wrong is not None and not trusted(similarity, labels.get(entry, ()), least, most_wrong):
                    doubted = doubted or (entry, similarity, "doubted")
                elif most_wrong is not None and stopped(wrong, judged, most_wrong):
                    doubted = doubted or (entry, similarity, "held")
                else:
                    hit = entry
                    right = found.count.add(one, asked[hit])
                    if right is not None and rng.random() < told_share:
                        labels.setdefault(hit, []).append((similarity, right))
                        wrong, judged = wrong + (not right), judged + 1
                    break
        elif hit is not None:
            found.exact.add(one, asked[hit])
        if hit is not None:
            continue
        if doubted is not None:
            entry, similarity, why = doubted
            right = Count().add(one, asked[entry])
            found.doubted += why == "doubted"
            found.held += why == "held"
            if right is not None:
                labels.setdefault(entry, []).append((similarity, right))
            if right is not None and why == "held":
                wrong, judged = wrong + (not right), judged + 1
        entries.append(place)
        keys[exact_key(one.text)] = place
    return found


def bounded(data: Path, part: str, draws: int) -> None:
    asked = [each for group in stream(data, part, random.Random(SEED)) for each in group]
    vectors = make_embedder(Config().ingestion.embedding).embed_questions([each.text for each in asked])
    cosines = vectors @ vectors.T
    print(f"{part}: {len(asked)} questions; medians of {draws} draws of who gives feedback (least to most)")
    for words, least in ((True, LEAST), (False, 0.95)):
        for order in ("random", "adversarial"):
            places = ordered(len(asked), vectors, random.Random(SEED), order)
            rule = "words" if words else "cosine alone"
            print(f"\n{rule} from {least}, {order} order")
            without = by_bound(asked, places, cosines, None, 0.0, random.Random(SEED), least=least, words=words)
            print(f"  no bound: {without.count.line()}, beside {without.exact.line()} in the same words")
            for most_wrong in (0.05, 0.02, 0.01):
                for share in (0.1, 0.5):
                    runs = [
                        by_bound(
                            asked, places, cosines, most_wrong, share, random.Random(draw), least=least, words=words
                        )
                        for draw in range(draws)
                    ]
                    print(f"  at most {most_wrong:.0%}, feedback on {share:.0%}: {told_of(runs)}", flush=True)


def told_of(runs: Sequence[Bounded]) -> str:
    def middle(name: str, values: Sequence[int]) -> str:
        return f"{statistics.median(values):g} {name} ({min(values)} to {max(values)})"

    right, wrong = [run.count.right for run in runs], [run.count.wrong for run in runs]
    bounds = [rare_event_bound(w, r + w) for r, w in zip(right, wrong, strict=True)]
    anew = f"{middle('doubted', [run.doubted for run in runs])}, {middle('held', [run.held for run in runs])}"
    share = f"share of wrong at most {statistics.median(bounds):.2%} (95%, median)"
    return f"{middle('right', right)}, {middle('wrong', wrong)}, {share}; anew: {anew}"


def labels(data: Path, part: str, documents: int) -> None:
    """Answers to a question and to another wording of it or a near one, each made anew by the extractive generator."""
    with tempfile.TemporaryDirectory() as place:
        folder, rng = Path(place), random.Random(SEED)
        questions = rng.sample([question for _, question in corpus(data, folder / "docs", documents)], 120)
        names = sorted({name for question in questions for name in _NAME.findall(question)})
        counts: dict[str, dict[str, int]] = {}
        with system(folder, "off") as rag:
            rag.index([folder / "docs"])
            for question in questions:
                first = rag.ask(question)
                others = [("reworded", text) for text in reworded(question, part, rng)]
                others += [("turned round", text) for _, text in turned(question, names, rng)]
                for kind, text in others:
                    if kind == "reworded" and differences(question, text):
                        kind = "reworded, but no hit by the words"
                    verdict = {True: "same", False: "another", None: "unsaid"}[same_answer(rag.ask(text), first)]
                    counts.setdefault(kind, dict.fromkeys(("same", "another", "unsaid"), 0))[verdict] += 1
        for kind, each in counts.items():
            print(f"{kind}: {sum(each.values())} pairs of answers, {each}")


def corpus(data: Path, folder: Path, most: int) -> list[tuple[str, str]]:
    """Writes paragraphs of XQuAD-en and QED, each as a document; (name, question) of one question for each."""
    folder.mkdir()
    questions: list[tuple[str, str]] = []
    texts = {row["_id"]: row for row in rows_of(data / "xquad-en" / "queries.jsonl")}
    first: dict[str, str] = {}
    for row in qrels(data):
        first.setdefault(row["corpus-id"], texts[row["query-id"]]["text"])
    for row in rows_of(data / "xquad-en" / "corpus.jsonl"):
        name = f"x{row['_id']}.md"
        (folder / name).write_text(f"# {row['title']}\n\n{row['text']}\n", encoding="utf-8")
        questions.append((name, first[row["_id"]]))
    seen: set[str] = set()
    for number, row in enumerate(rows_of(data / "qed" / "dev.jsonl")):
        if row["paragraph"] not in seen and len(questions) < most:
            seen.add(row["paragraph"])
            name = f"q{number}.md"
            (folder / name).write_text(f"# {row['title']}\n\n{row['paragraph']}\n", encoding="utf-8")
            questions.append((name, row["question"]))
    return questions


def stores(redis: str | None, entries: int) -> None:
    """Entries of 4 kB in one scope. What is measured on Redis goes with the prefix; no documents, no model."""
    rng = np.random.default_rng(SEED)
    vectors = rng.normal(size=(entries, 384)).astype(np.float32)
    answer = Answer("x" * 3000, False, (), (), "m", "h", "", {})
    with tempfile.TemporaryDirectory() as place:
        settings = {"sqlite": Cache(path=Path(place) / "cache.sqlite", max_entries=entries)}
        if redis:
            settings["redis"] = Cache(store="redis", url=redis, prefix="ragkit-measured", max_entries=entries)
        kept = [Entry(f"q{n}", vectors[n], answer, {}, frozenset(), "", 1, {}) for n in range(entries)]
        for name, each in settings.items():
            with closing(open_store(each)) as store:
                times = {
                    "put": [clocked(lambda n=n: store.put("s", f"q{n}", kept[n])) for n in range(entries)],
                    "find": [clocked(lambda n=n: store.find("s", f"q{n}")) for n in range(0, entries, 10)],
                }
            with closing(open_store(each)) as store:
                times["first nearest"] = [clocked(lambda: store.nearest("s", vectors[0], 16, 0.7))]
                times["nearest"] = [clocked(lambda n=n: store.nearest("s", vectors[n], 16, 0.7)) for n in range(500)]
                store.clear()
            for call, ms in times.items():
                p50, p99 = np.percentile(ms, [50, 99])
                print(f"{name} {call}: {len(ms)} calls, p50 {p50:.2f} ms, p99 {p99:.2f} ms")


def clocked(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def system(folder: Path, mode: str) -> Ragkit:
    return Ragkit(
        Config.model_validate(
            {
                "ingestion": {"chunking": {"strategy": "recursive"}, "store": {"path": str(folder / "index")}},
                "cache": {"mode": mode, "path": str(folder / "cache.sqlite")},
            },
            strict=False,
        )
    )


def latency(data: Path, documents: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        questions = [question for _, question in corpus(data, folder / "docs", documents)]
        with system(folder, "semantic") as rag:
            rag.index([folder / "docs"])
            kept = random.Random(SEED).sample(questions, 200)
            misses = [timed(rag, question) for question in kept]
            wrapped = [f"Can you tell me {question[:1].lower()}{question[1:]}" for question in kept]
            again = {"exact": [timed(rag, question) for question in kept]}
            again["semantic"] = [each for question in wrapped if (each := timed(rag, question))[0] == "semantic"]
            print(f"miss: {told(misses)}")
            for tier, each in again.items():
                print(f"{tier}: {told(each)}")
            alone = [embedded(rag, question) for question in wrapped]
            print(f"embedding a question alone: p50 {statistics.median(alone):.1f} ms")


def embedded(rag: Ragkit, question: str) -> float:
    began = time.perf_counter()
    rag.embedder.embed_questions([question])
    return (time.perf_counter() - began) * 1e3


def timed(rag: Ragkit, question: str) -> tuple[str, float]:
    began = time.perf_counter()
    answer = rag.ask(question)
    return answer.cache, (time.perf_counter() - began) * 1e3


def told(times: Sequence[tuple[str, float]]) -> str:
    p50, p95, p99 = np.percentile([ms for _, ms in times], [50, 95, 99])
    return f"{len(times)} answers, p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms"


def stale(data: Path, most: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        docs = folder / "docs"
        documents = corpus(data, docs, most)
        rng = random.Random(SEED)
        asked = rng.sample(documents, min(150, len(documents)))
        with system(folder, "exact") as rag, system(folder, "off") as fresh:
            rag.index([docs])
            before = {question: rag.ask(question) for _, question in asked}
            cited = {q: {c.source_document for c in a.citations} for q, a in before.items()}
            # 1% of the documents, all of them evidence of some answer, so that each change can make one stale.
            right = [(name, q) for name, q in asked if name in cited[q]]
            chosen = rng.sample(right, max(3, round(len(documents) / 100)))
            edited, deleted, outdone = (chosen[start::3] for start in range(3))
            for name, _ in edited:
                path = docs / name
                path.write_text(changed_text(path.read_text(encoding="utf-8")), encoding="utf-8")
            for name, _ in deleted:
                (docs / name).unlink()
            for number, (_, question) in enumerate(outdone):
                text = f"# {question}\n\nAs of today the answer to the question {question} is number {number}.\n"
                (docs / f"new{number}.md").write_text(text, encoding="utf-8")
            report = rag.index([docs])
            print(f"{len(documents)} documents: {report.new} new, {report.edited} edited, {report.deleted} deleted")
            gone = {name for name, _ in (*edited, *deleted)}
            new = {f"new{number}.md" for number in range(len(outdone))}
            touched, served, differing, stale_hits, kept, untouched = 0, 0, 0, 0, 0, 0
            names = dict(names_before(before.values()))
            for question, old in before.items():
                now, again = rag.ask(question), fresh.ask(question)
                prompt = {names[chunk_id] for chunk_id in old.context if chunk_id in names}
                newly = {each.chunk.source_document for each in again.results[:5]} & new
                hit = now.cache == "exact"
                if prompt & gone or newly:
                    touched += 1
                    stale_hits += hit
                else:
                    untouched += 1
                    kept += hit
                if hit:
                    served += 1
                    differing += (now.text, now.citations) != (again.text, again.citations)
            print(f"entries: {len(before)}; changed under {touched}: {stale_hits} of them served (stale)")
            print(f"untouched: {untouched}, kept {kept} ({kept / untouched:.1%})")
            print(f"served: {served}, of which {differing} differ from an answer made anew")
            made = [question for _, question in outdone if rag.ask(question).cache == "exact"]
            print(f"questions with a better document answered anew: {len(outdone)}, now kept: {len(made)}")


def names_before(answers: Iterable[Answer]) -> list[tuple[str, str]]:
    return [(each.chunk.id, each.chunk.source_document) for answer in answers for each in answer.results]


def changed_text(text: str) -> str:
    """Each number is another one, and the first sentence begins otherwise."""
    title, _, body = text.partition("\n\n")
    numbers = re.sub(r"\d+", lambda match: str(int(match[0]) + 1), body)
    return f"{title}\n\nIt has been corrected since that {numbers}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("what", choices=("pairs", "bounded", "labels", "latency", "stores", "stale"))
    parser.add_argument("--part", choices=("tune", "test"), default="test")
    parser.add_argument("--documents", type=int, default=400, help="of labels, latency and stale")
    parser.add_argument("--redis", help="of stores: the address of a server")
    parser.add_argument("--draws", type=int, default=9, help="of bounded: who gives feedback")
    arguments = parser.parse_args()
    if arguments.what == "pairs":
        pairs(arguments.data, arguments.part)
    elif arguments.what == "bounded":
        bounded(arguments.data, arguments.part, arguments.draws)
    elif arguments.what == "labels":
        labels(arguments.data, arguments.part, arguments.documents)
    elif arguments.what == "stores":
        stores(arguments.redis, 10_000)
    elif arguments.what == "latency":
        latency(arguments.data, arguments.documents)
    else:
        stale(arguments.data, arguments.documents)


if __name__ == "__main__":
    main()
