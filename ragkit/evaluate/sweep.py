"""Try values of config keys on the tuning part of a suite, and report the winner once on the test part.

Only retrieval is run: trials share the index as long as its settings are the same, and the vectors of the questions as
long as the embedding is. The test part is looked at once, for the one winner; how often the tuning part was looked at
is paid for by Holm's correction.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ragkit.config.schema import Config
from ragkit.embed.known import KnownQuestions
from ragkit.errors import ConfigError
from ragkit.evaluate.cases import Case
from ragkit.evaluate.examine import conditions_of
from ragkit.evaluate.gold import Gold, GoldFinder
from ragkit.evaluate.leakage import Leak, leaks_between, like_documents
from ragkit.evaluate.retrieval import embedded_questions, question_vectors
from ragkit.evaluate.run import indexed_documents, placed_config
from ragkit.evaluate.stage_metrics import Places, stage_metrics
from ragkit.evaluate.statistics import Interval, holm, paired_difference, permutation_test
from ragkit.evaluate.suite import LoadedSuite
from ragkit.gateway.cost import cost_lines
from ragkit.retrieve.retriever import retrieve
from ragkit.system import Ragkit
from ragkit.types import Document

Settings = Mapping[str, Any]
"""Values by dotted key, such as {"retrieval.fusion.alpha": 0.3}."""

_TIMED = 9
"""Questions that are embedded anew to see how long one takes."""

Choose = Callable[[Callable[[Settings], float]], None]
"""Asks for the scores of settings, one after another, until it has seen enough."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting on the tuning part: the mean of the metric, the value of each question, the median milliseconds of
    retrieval outside the embedding model, and what the models of retrieval cost for a thousand questions in dollars,
    None if a price is not known."""

    settings: Settings
    mean: float
    values: dict[str, float]
    milliseconds: float
    usd_per_1000: float | None = None

    @property
    def name(self) -> str:
        """The settings as one line."""
        return ", ".join(f"{key}={value}" for key, value in self.settings.items()) or "the config as it is"


@dataclass(frozen=True, slots=True)
class Sweep:
    """What was found. `base` is the config as it was given, `winner` the best trial on the tuning part.

    `gain` is the winner's on the test part, over the base, question by question; None when the base is the winner.
    `p_tuning` is that of the winner's gain on the tuning part, corrected for all trials.
    """

    metric: str
    base: Trial
    trials: tuple[Trial, ...]
    winner: Trial
    base_test: float
    winner_test: float
    gain: Interval | None
    p_tuning: float
    tuning_questions: int
    test_questions: int

    @property
    def better(self) -> bool:
        """Whether the gain on the test part is above 0 by the lower bound of its interval."""
        return self.gain is not None and self.gain.low > 0


def grid(choices: Mapping[str, Sequence[Any]]) -> Choose:
    """Every combination of the values.

    >>> seen = []
    >>> grid({"a": [1, 2], "b": [3]})(lambda settings: seen.append(dict(settings)) or 0.0)
    >>> seen
    [{'a': 1, 'b': 3}, {'a': 2, 'b': 3}]
    """

    def choose(score: Callable[[Settings], float]) -> None:
        for values in itertools.product(*choices.values()):
            score(dict(zip(choices, values, strict=True)))

    return choose


def sampled(choices: Mapping[str, Sequence[Any]], trials: int, seed: int = 0) -> Choose:
    """So many trials of Optuna's tree-structured Parzen estimator over the values; MissingExtra without Optuna."""

    def choose(score: Callable[[Settings], float]) -> None:
        optuna = _optuna()

        def objective(trial: Any) -> float:
            return score({key: trial.suggest_categorical(key, list(values)) for key, values in choices.items()})

        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        study.optimize(objective, n_trials=trials)

    return choose


def _optuna() -> Any:
    from ragkit.errors import MissingExtra

    try:
        import optuna
    except ImportError:
        raise MissingExtra("optuna", "sweep") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def sweep(
    loaded: LoadedSuite,
    configure: Callable[[Settings], Config],
    choose: Choose,
    metric: str,
    *,
    seed: int = 0,
    tried: Callable[[Trial], None] | None = None,
) -> Sweep:
    """Score the settings that `choose` asks for on the tuning part, and the best of them, once, on the test part.

    `configure` gives the config with some settings changed; without any it is the base.
    Raises ConfigError when the suite has no tuning or no test part, when a question or document is in both or nearly
    so, for a key or value that the config does not know, and for a metric that no question has.
    """
    tuning = [case for case in loaded.cases if case.id in loaded.tuning and case.evidence]
    test = [case for case in loaded.cases if case.id not in loaded.tuning and case.evidence]
    if not tuning or not test:
        missing = "tuning" if not tuning else "test"
        raise ConfigError(
            f"the suite has no {missing} part with labelled places",
            mend="part the questions with ragkit eval split, and mark one file with part: tuning",
        )
    _refuse(leaks_between(tuning, test))
    bench = _Bench(loaded, configure, metric)
    _refuse(like_documents(tuning, test, bench.documents()))
    base = bench.trial({}, tuning)
    trials: dict[str, Trial] = {}

    def score(settings: Settings) -> float:
        key = repr(sorted(settings.items()))
        if key not in trials:
            trials[key] = bench.trial(settings, tuning)
            if tried is not None:
                tried(trials[key])
        return trials[key].mean

    choose(score)
    # Of equals the base, then the first: nothing is changed without a reason.
    winner = max((base, *trials.values()), key=lambda trial: trial.mean)
    before = bench.trial({}, test)
    after = before if winner is base else bench.trial(winner.settings, test)
    return Sweep(
        metric=metric,
        base=base,
        trials=tuple(trials.values()),
        winner=winner,
        base_test=before.mean,
        winner_test=after.mean,
        gain=None if winner is base else _gain(before, after, test, seed),
        p_tuning=_corrected_p(base, list(trials.values()), winner, tuning, seed),
        tuning_questions=len(base.values),
        test_questions=len(before.values),
    )


def _refuse(leaks: Sequence[Leak]) -> None:
    if leaks:
        first = leaks[0]
        other = "document" if first.kind == "like document" else "question"
        raise ConfigError(
            f"tuning and test part have {len(leaks)} things in common, such as test question {first.test} and tuning"
            f" {other} {first.other} ({first.kind})",
            mend="part them by document: ragkit eval split; of documents that are alike, take one out",
        )


_System = tuple[Ragkit, Callable[[str], tuple[Gold, ...]], Places]
"""A system, the labelled places of a question (by id) in its index, and where chunks stand."""


@dataclass
class _Bench:
    """Runs trials; keeps the opened systems and the questions' vectors."""

    loaded: LoadedSuite
    configure: Callable[[Settings], Config]
    metric: str
    systems: dict[str, _System] = field(default_factory=dict[str, Any])
    vectors: dict[str, KnownQuestions] = field(default_factory=dict[str, KnownQuestions])
    embed_ms: dict[str, float] = field(default_factory=dict[str, float])

    def trial(self, settings: Settings, cases: Sequence[Case]) -> Trial:
        config = self.configure(settings)
        rag, gold_of, places = self._system(config)
        embedder = self._vectors(rag, config)
        store = rag.snapshot().store
        reranker = rag.reranker if config.retrieval.reranking.backend != "none" else None
        values: dict[str, float] = {}
        milliseconds: list[float] = []
        spent: list[int | None] = []
        for case in cases:
            filters = conditions_of(case)
            began = time.perf_counter()
            found = retrieve(case.question, store, embedder, config.retrieval, reranker, filters, rag.rewriter(config))
            milliseconds.append((time.perf_counter() - began) * 1e3)
            # The vectors of questions are remembered; what embedding them takes is measured once.
            timings = found.timings_ms | ({"embed": self._embed_ms(rag, config)} if "embed" in found.timings_ms else {})
            lines = cost_lines(config, found.embedded, timings, rewriting=found.usage)
            spent += [line.nano_usd for line in lines]
            measured = stage_metrics(found.ranked, gold_of(case.id), places)
            if self.metric in measured:
                values[case.id] = measured[self.metric]
        if not values:
            raise ConfigError(f"no question has the metric {self.metric}", mend="e.g. fused.chunk.ndcg@10")
        known = [nano for nano in spent if nano is not None]
        usd = sum(known) / len(cases) / 1e6 if len(known) == len(spent) else None
        return Trial(settings, statistics.fmean(values.values()), values, statistics.median(milliseconds), usd)

    def documents(self) -> Iterator[Document]:
        """The documents of the index as the config has it."""
        return indexed_documents(self._system(self.configure({}))[0].snapshot().manifest)

    def _system(self, config: Config) -> _System:
        """The system with this reranker over the index that these settings make, which is built once."""
        placed = placed_config(self.loaded, config)
        key = f"{placed.ingestion.store.path}\x1f{config.retrieval.reranking!r}"
        if key not in self.systems:
            rag = Ragkit(placed, follow=False)
            if self.loaded.corpus:
                rag.index(list(self.loaded.corpus), wait_s=3600)
            snapshot = rag.snapshot()
            finder = GoldFinder(snapshot.manifest, snapshot.store)
            cases = {case.id: case for case in self.loaded.cases}

            @cache
            def gold_of(identity: str) -> tuple[Gold, ...]:
                return finder.find(cases[identity])

            self.systems[key] = rag, gold_of, Places(snapshot.store)
        return self.systems[key]

    def _embed_ms(self, rag: Ragkit, config: Config) -> float:
        """The median milliseconds of embedding one question, of a few."""
        key = repr(config.ingestion.embedding)
        if key not in self.embed_ms:
            measured: list[float] = []
            for case in self.loaded.cases[:_TIMED]:
                began = time.perf_counter()
                rag.embedder.embed_question(case.question)
                measured.append((time.perf_counter() - began) * 1e3)
            self.embed_ms[key] = statistics.median(measured)
        return self.embed_ms[key]

    def _vectors(self, rag: Ragkit, config: Config) -> KnownQuestions:
        key = repr(config.ingestion.embedding)
        if key not in self.vectors:
            questions = [case.question for case in self.loaded.cases]
            self.vectors[key] = embedded_questions(questions, rag.embedder, question_vectors(config))
        return self.vectors[key]


def _gain(before: Trial, after: Trial, cases: Sequence[Case], seed: int) -> Interval:
    common = [case for case in cases if case.id in before.values and case.id in after.values]
    return paired_difference(
        [before.values[case.id] for case in common],
        [after.values[case.id] for case in common],
        clusters=[case.cluster for case in common],
        seed=seed,
    )


def _corrected_p(base: Trial, trials: Sequence[Trial], winner: Trial, cases: Sequence[Case], seed: int) -> float:
    """The p of the winner's gain on the tuning part among those of all trials."""
    if winner is base:
        return 1.0
    by_trial: dict[str, float] = {}
    for number, trial in enumerate(trials):
        common = [case for case in cases if case.id in base.values and case.id in trial.values]
        first, second = ([each.values[case.id] for case in common] for each in (base, trial))
        clusters = [case.cluster for case in common]
        by_trial[str(number)] = permutation_test(first, second, clusters=clusters, seed=seed).p
    return holm(by_trial)[str(trials.index(winner))]
