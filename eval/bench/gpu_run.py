"""The command: `bash scripts/bench_gpu.sh`. What a GPU and vLLM bring ragkit, and what ragkit costs them.

    bash scripts/bench_gpu.sh --list                    what would be run, with which models
    bash scripts/bench_gpu.sh                           five rounds of everything, into docs/benchmarks
    bash scripts/bench_gpu.sh --quick --only server     a try
    bash scripts/bench_gpu.sh --device cpu              a rehearsal with a tiny model on vLLM's CPU build

Exit codes: 2 a wrong argument, 3 no GPU that torch sees, 4 a package is missing, 5 a model is not here.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from eval.bench import gpu_device
from eval.bench.gpu_device import CannotRun
from eval.bench.gpu_settings import ONLINE, Settings, chosen, hand_over
from eval.bench.results import Results, begin, machine, versions
from eval.bench.spec import WORK, Bench, Case

ROUNDS = 5
REHEARSAL = WORK / "gpu-rehearsal.json"


class Rehearsed(Results):
    """Results of a rehearsal: of no GPU, and so beside the work files and never in docs."""

    @property
    def path(self) -> Path:
        return REHEARSAL


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="bash scripts/bench_gpu.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Settings()
    made.add_argument("--list", action="store_true", help="print what would be run, and run nothing")
    made.add_argument("--quick", action="store_true", help="fewer prompts and two rounds: to try things out")
    made.add_argument("--resume", action="store_true", help="go on with the results that are there, of any commit")
    made.add_argument("--fresh", action="store_true", help="drop the results that are there")
    made.add_argument("--rounds", type=_count, help=f"how often each contender runs; at least {ROUNDS}, if not quick")
    made.add_argument("--only", default="", help="these cases or contenders and no others, with commas between")
    made.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a rehearsal, not kept in docs")
    made.add_argument("--model", help=f"chat model: a folder or a reference of ragkit models ({default.model})")
    made.add_argument(
        "--quantised",
        help=f"{' or '.join(ONLINE)}, made while loading; or a quantised model; none leaves it out ({ONLINE[0]})",
    )
    made.add_argument("--speculative", help="ngram; or a draft model; none leaves it out (ngram)")
    made.add_argument("--embedder", help=f"embedding model ({default.embedder})")
    made.add_argument("--first", type=_count, help=f"prompts for the time to the first token ({default.first})")
    made.add_argument("--prompts", type=_count, help=f"prompts for the tokens a second ({default.prompts})")
    made.add_argument("--concurrency", type=_count, help=f"requests under way at the server ({default.concurrency})")
    made.add_argument("--answer-tokens", type=_count, help=f"longest answer ({default.answer_tokens})")
    made.add_argument("--download", action="store_true", help="fetch the models that are not on this machine")
    return made


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def settings_of(given: argparse.Namespace) -> Settings:
    """The settings of a command line."""
    left_out = {"quantised": given.quantised, "speculative": given.speculative}
    names = ("model", "embedder", "first", "prompts", "concurrency", "answer_tokens")
    return chosen(
        rehearsal=given.device == "cpu",
        quick=given.quick,
        **{name: getattr(given, name) for name in names},
        **{name: "" if value == "none" else value for name, value in left_out.items()},
    )


def main(arguments: Sequence[str] | None = None) -> int:
    made = parser()
    given = made.parse_args(arguments)
    wanted = settings_of(given)
    hand_over(wanted)
    from eval.bench.gpu import GPU

    rounds = given.rounds or (1 if given.device == "cpu" else GPU.quick_rounds if given.quick else ROUNDS)
    if rounds < ROUNDS and not given.quick and given.device == "cuda":
        made.error(f"fewer than {ROUNDS} rounds say too little; add --quick to try things out")
    cases, contenders = _named(GPU, wanted, [name for name in given.only.split(",") if name], made)
    if given.list:
        print("\n".join(plan(GPU, wanted, cases, contenders, rounds)))
        return 0
    try:
        device = _device(wanted, cases)
        _find_models(wanted, cases, download=given.download)
    except CannotRun as reason:
        print(f"error: {reason}", file=sys.stderr)
        return reason.code
    _run(GPU, wanted, device, given, rounds, cases, contenders)
    return 0


def _named(
    bench: Bench, wanted: Settings, only: Sequence[str], made: argparse.ArgumentParser
) -> tuple[list[str], list[str]]:
    """The cases and the contenders that are named; all of a kind of which none is."""
    names = [case.name for case in bench.cases(False)]
    if unknown := [name for name in only if name not in (*names, *bench.contenders)]:
        made.error(f"--only {', '.join(unknown)}: there are {', '.join((*names, *bench.contenders))}")
    if off := [name for name in ("quantised", "speculative") if name in only and not getattr(wanted, name)]:
        made.error(f"--only {off[0]}: nothing is named by --{off[0]}")
    cases = [name for name in names if name in only]
    return cases or names, [name for name in bench.contenders if name in only]


def plan(bench: Bench, wanted: Settings, cases: Sequence[str], contenders: Sequence[str], rounds: int) -> list[str]:
    """What would be run, a line each."""
    kind = "rehearsal on the CPU" if wanted.device == "cpu" else "GPU"
    lines = [f"{kind}, {rounds} round{'s' if rounds > 1 else ''} of each:"]
    for case in bench.cases(False):
        if case.name in cases:
            names = _of(case, contenders)
            lines.append(f"  {case.name + ':':<12} {', '.join(names)}")
    lines.append("settings:")
    lines += [f"  {name + ':':<14} {value or 'left out'}" for name, value in wanted.told().items()]
    return lines


def _of(case: Case, contenders: Sequence[str]) -> list[str]:
    return [name for name in case.contenders if not contenders or name in contenders]


def packages(cases: Sequence[str]) -> list[str]:
    """What has to be installed for these cases."""
    wanted = {"in process": ["vllm"], "server": ["vllm", "openai"]}
    encoders = ["sentence_transformers"]
    return list(dict.fromkeys(["ragkit", "torch", *(name for case in cases for name in wanted.get(case, encoders))]))


def _device(wanted: Settings, cases: Sequence[str]) -> Mapping[str, str]:
    lacks = gpu_device.missing(packages(cases))
    if wanted.device == "cuda":
        return gpu_device.check(gpu_device.drivers(), lacks, gpu_device.ask_torch)
    # What only some cases need is told by these when their turn comes.
    gpu_device.need([name for name in lacks if name not in ("sentence_transformers", "vllm")])
    return {}


def _find_models(wanted: Settings, cases: Sequence[str], *, download: bool) -> None:
    """Raises CannotRun for a model that is not here, or that vLLM cannot read; with `download` it is fetched first."""
    from ragkit.errors import RagkitError
    from ragkit.generate.vllm import model_folder
    from ragkit.models.reference import parse_reference
    from ragkit.models.resolve import find, resolve

    references = wanted.references if {"in process", "server"} & set(cases) else {}
    if "embedding" in cases and not gpu_device.missing(["sentence_transformers"]):
        references["embedder"] = wanted.embedder
    for use, reference in references.items():
        try:
            if download and find(parse_reference(reference)) is None:
                print(f"fetching {reference} ...", flush=True)
                resolve(reference)
            if use == "embedder":
                if find(parse_reference(reference)) is None:
                    raise CannotRun(
                        f"--embedder {reference} is not on this machine; add --download to fetch it",
                        gpu_device.NO_MODEL,
                    )
            else:
                model_folder(reference)
        except RagkitError as error:
            hint = "" if download else "; --download fetches models that are not here"
            raise CannotRun(f"--{use} {reference}: {error}{hint}", gpu_device.NO_MODEL) from error


def _run(
    bench: Bench,
    wanted: Settings,
    device: Mapping[str, str],
    given: argparse.Namespace,
    rounds: int,
    cases: Sequence[str],
    contenders: Sequence[str],
) -> None:
    from eval.bench.gpu import remarks
    from eval.bench.render import render, section
    from eval.bench.run import run

    # vLLM's lines are no progress of ours; the last of them stands in the reason where a contender fails.
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    if wanted.device == "cpu":
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        found: Results = Rehearsed("gpu", True, machine(), versions(), settings=wanted.told())
    else:
        print(f"{device['gpu']}, {device['gpu_free']} of {device['gpu_memory']} free, driver {device['driver']}")
        found = begin(
            "gpu", quick=given.quick, resume=given.resume, fresh=given.fresh, device=device, settings=wanted.told()
        )
    run(bench, found, rounds, contenders, cases)
    if wanted.device == "cpu":
        print("\nA REHEARSAL ON THE CPU: it shows that everything runs, and none of its figures is one.\n")
        print(section(bench, found, plots=False))
        print(f"written: {REHEARSAL}; nothing in docs")
        return
    render()
    for remark in remarks(found):
        print(remark)
    print("written: docs/benchmarks.md")


if __name__ == "__main__":
    raise SystemExit(main())
