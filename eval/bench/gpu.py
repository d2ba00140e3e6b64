"""The benchmark of a GPU: vLLM in process and as a server, caches, quantised weights, drafts, encoders."""

from __future__ import annotations

from collections.abc import Iterator

from eval.bench.gpu_settings import Settings, settings
from eval.bench.results import Results
from eval.bench.spec import BASE, Bench, Case, Clock, Contender, Measure, Values, Work
from eval.bench.summary import ratios

LEAST_SHARE = 0.98
"""Of bare vLLM's tokens a second, what ragkit is to reach in the median of the rounds."""
CASES = ("in process", "server", "embedding", "reranking")
AIMED_AT = CASES[:2]
VARIANTS = ("no-prefix-cache", "quantised", "speculative")
ABOUT = f"""\
vLLM on a GPU, through ragkit and bare, with the prompts that ragkit makes: a system prompt, passages, a question. Some
five questions have the same passages, so that a prefix cache serves the beginning of their prompts (`from the cache`
is the share of prompt tokens that it served, by vLLM's own count). The time to the first token is that of prompts one
after the other in process, and of those under way together at the server; tokens a second are those of answers at
temperature 0, in process of all prompts at once. Bare vLLM is given token ids, and OpenAI's client bodies, that were
made before the clock starts; what ragkit does to make them is inside its time. At least {LEAST_SHARE:.0%} of the bare
tokens a second are aimed at. In each round each contender loads its own model in a process of its own, with all
cores."""
_SHARED = ("tokens_s", "texts_s", "pairs_s")


def _work(name: str) -> Work:
    def work(case: Case, clock: Clock) -> Values:
        # What a case needs is imported for it: vLLM for two of them, sentence-transformers for the others.
        if case.name == "server":
            from eval.bench.gpu_server import asked_by

            return asked_by(name, clock)
        if case.name in ("embedding", "reranking"):
            from eval.bench import gpu_encoders

            return (gpu_encoders.embedding if case.name == "embedding" else gpu_encoders.reranking)(name, clock)
        from eval.bench.gpu_engine import bare, through_ragkit

        return bare(clock) if name == "bare" else through_ragkit(name, clock)

    return work


def _prepare(case: Case) -> None:
    if case.name in ("embedding", "reranking"):
        from eval.bench.gpu_encoders import prepare

        prepare(case)
    else:
        from eval.bench.gpu_prompts import prompts

        given = settings()
        prompts(given.first, given.prompts, given.passages)  # too few questions are said before a model is loaded


def cases(given: Settings) -> list[Case]:
    """What takes part, by what the settings leave out."""
    off = [name for name in ("quantised", "speculative") if not getattr(given, name)]
    variants = [name for name in VARIANTS if name not in off]
    return [Case(name, contenders=(BASE, "bare", *(variants if name == CASES[0] else ()))) for name in CASES]


def shares(found: Results) -> dict[str, tuple[float, float, float, int]]:
    """ragkit's throughput as a share of the bare one's for each case: median, least, greatest, rounds."""
    told: dict[str, tuple[float, float, float, int]] = {}
    for case in CASES:
        for key in _SHARED:
            # Bare is the base here: the share is ours over theirs, within each round.
            ratio = ratios(found.values(case, "bare", key), found.values(case, BASE, key))
            if ratio is not None:
                told[case] = (ratio.median, ratio.low, ratio.high, ratio.count)
    return told


def remarks(found: Results) -> Iterator[str]:
    """The shares as the page has them, those of vLLM with whether they are what was aimed at."""
    for case, (median, low, high, count) in shares(found).items():
        rounds = f"{count} round{'s' if count > 1 else ''}"
        said = f"{case}: ragkit has {median:.3f} ({low:.3f} to {high:.3f}, {rounds}) of the bare throughput"
        if case in AIMED_AT and found.settings.get("device") != "cpu":
            said += f"; {LEAST_SHARE:g} is {'reached' if median >= LEAST_SHARE else 'missed'}"
        yield f"{said}."


GPU = Bench(
    "gpu",
    "vLLM and encoders on a GPU",
    ABOUT,
    (
        Measure("tokens_s", "answer tokens a second", "higher"),
        Measure("first_p50", "first token p50, ms"),
        Measure("first_p95", "first token p95, ms"),
        Measure("hits", "from the cache", None),
        Measure("kept", "drafted tokens kept", None),
        Measure("texts_s", "texts a second", "higher"),
        Measure("pairs_s", "pairs a second", "higher"),
        Measure("load_s", "load, s", None),
    ),
    {
        BASE: Contender(
            "ragkit",
            _work(BASE),
            "`VllmGenerator` over its engine; `OpenAIGenerator` over vLLM's server; `Embedder.embed_passages`; "
            "`Reranker.scores`",
        ),
        "bare": Contender(
            "bare",
            _work("bare"),
            "`vllm.LLM.generate`; `openai.AsyncOpenAI` over vLLM's server; `SentenceTransformer.encode`; "
            "`CrossEncoder.predict`",
            floor=True,
        ),
        "no-prefix-cache": Contender(
            "ragkit, no prefix cache", _work("no-prefix-cache"), "`enable_prefix_caching=False`", own=True
        ),
        "quantised": Contender(
            "ragkit, quantised", _work("quantised"), "the quantised model of the settings", own=True
        ),
        "speculative": Contender("ragkit, speculative", _work("speculative"), "5 tokens drafted ahead", own=True),
    },
    lambda quick: cases(settings()),
    _prepare,
    minutes=90,
    limit_s=1_800,
    plot=("tokens_s", "first_p50"),
    whole_machine=True,
    remarks=remarks,
)
