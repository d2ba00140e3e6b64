"""Put answers before judges: each verdict from the cache if it is there, and every failure kept with its reason.

Refusals and questions that ended in an error are not judged: there is no answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from ragkit.evaluate.judges import Judge, asked, failures
from ragkit.evaluate.judges.cache import JudgementCache, key_of
from ragkit.evaluate.judges.exhibit import Exhibit, exhibit_of
from ragkit.evaluate.record import Judgement, Record

Judged = Callable[[int, Record], None]
"""Told after each record: how many are done, and the record with its judgements."""


def judge_all(
    records: Sequence[Record],
    judges: Sequence[Judge],
    cache: JudgementCache | None = None,
    *,
    retry_failed: bool = False,
    concurrency: int = 1,
    told: Judged | None = None,
) -> list[Record]:
    """The records with the judgements of these judges, in order; what other judges said stays.

    With `retry_failed` judgements that failed before are asked for again. `concurrency` records are judged at once, by
    threads; more than one is for models behind a server. Raises RagkitError where a judge cannot judge at all; what was
    judged until then is in the cache.
    """

    def judged(record: Record) -> Record:
        exhibit = exhibit_of(record)
        if exhibit is None:
            return record
        names = {measure.name for judge in judges for measure in judge.measures}
        kept = [judgement for judgement in record.judgements if judgement.judge not in names]
        new = [each for judge in judges for each in verdict(judge, exhibit, cache, retry_failed=retry_failed)]
        return record.model_copy(update={"judgements": (*kept, *new)})

    done: list[Record] = []
    for record in _mapped(judged, records, concurrency):
        done.append(record)
        if told is not None:
            told(len(done), record)
    return done


def verdict(
    judge: Judge, exhibit: Exhibit, cache: JudgementCache | None = None, *, retry_failed: bool = False
) -> tuple[Judgement, ...]:
    """One judge's judgements of one exhibit. Scores that are cached stay, also when failed ones are asked for again."""
    if not any(map(str.isalnum, exhibit.answer)):
        return tuple(failures(asked(judge.measures, exhibit), "the answer has no words"))
    if cache is None:
        return tuple(judge.judge(exhibit))
    key = key_of(judge, exhibit)
    known = cache.get(key)
    if known is None:
        return cache.put(key, judge, judge.judge(exhibit))
    if retry_failed and any(each.score is None for each in known):
        again = judge.judge(exhibit)
        return cache.put(key, judge, [new if old.score is None else old for old, new in zip(known, again, strict=True)])
    return known


def _mapped(judged: Callable[[Record], Record], records: Sequence[Record], concurrency: int) -> Iterator[Record]:
    if concurrency == 1:
        yield from map(judged, records)
        return
    gave_up = threading.Event()

    def unless_over(record: Record) -> Record:
        if gave_up.is_set():  # no more calls are paid for once a judge has given up
            return record
        try:
            return judged(record)
        except BaseException:
            gave_up.set()
            raise

    with ThreadPoolExecutor(concurrency) as pool:
        yield from pool.map(unless_over, records)
