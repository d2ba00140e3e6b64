"""`ragkit cache`: what is kept of answers, why a question is answered from it or not, and what came of it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import STYLE, ConfigOption, JsonOption, SetOption, load, print_json
from ragkit.cli.search import FilterOption
from ragkit.errors import RagkitError

if TYPE_CHECKING:
    from ragkit.config.schema import Config
    from ragkit.gateway.cache_store import CacheStore

app = typer.Typer(**STYLE, help="Answers kept for the same question: stats, clear, explain, report.")

_COUNTS = {
    "exact": "hits, same words",
    "semantic": "hits, same meaning",
    "misses": "misses",
    "better_evidence": "ended by new or edited documents",
    "evidence_changed": "ended by edits and deletions of what they cite",
    "index_changed": "ended by any change of the index",
    "expired": "ended by their age",
    "evicted": "thrown out for room",
    "unreadable": "damaged",
}


@app.command()
def stats(config: ConfigOption = None, sets: SetOption = None, as_json: JsonOption = False) -> None:
    """Entries, bytes, hits and misses, why entries ended, and the dollars saved."""
    loaded = load(config, sets)
    with _opened(loaded) as store:
        found = store.stats()
    saved = found.counts.get("saved_nano_usd", 0)
    hits = found.counts.get("exact", 0) + found.counts.get("semantic", 0)
    asked = hits + found.counts.get("misses", 0)
    share = hits / asked if asked else None
    if as_json:
        print_json({**asdict(found), "hit_share": share, "saved_usd": saved / 1e9})
        return
    from rich.table import Table

    from ragkit.cli.printing import console

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("entries", f"{found.entries:,} of {loaded.cache.max_entries:,}")
    table.add_row("megabytes", f"{found.bytes / 1e6:.1f} of {loaded.cache.max_mb:g}")
    for name, words in _COUNTS.items():
        table.add_row(words, f"{found.counts.get(name, 0):,}")
    table.add_row("share of hits", "-" if share is None else f"{share:.1%}")
    table.add_row("US dollars saved", f"{saved / 1e9:.6f}")
    console().print(table)


@app.command()
def clear(config: ConfigOption = None, sets: SetOption = None, as_json: JsonOption = False) -> None:
    """Take out every answer; the next questions are answered anew."""
    with _opened(load(config, sets)) as store:
        entries = store.clear()
    if as_json:
        print_json({"cleared": entries})
        return
    typer.echo(f"{entries:,} answers taken out")


@app.command()
def explain(
    question: str,
    config: ConfigOption = None,
    sets: SetOption = None,
    filters: FilterOption = None,
    tenant: Annotated[str, typer.Option("--tenant", help="Ask as this tenant; without it as nobody.")] = "",
    as_json: JsonOption = False,
) -> None:
    """What a question would be answered from, and what speaks against each entry that comes near. Changes nothing."""
    from ragkit.gateway.cache import Question
    from ragkit.store.filters import parse_filter
    from ragkit.system import Ragkit

    loaded = load(config, sets)
    conditions = [parse_filter(expression) for expression in filters or ()]
    with _opened(loaded), Ragkit(loaded) as rag:
        verdicts = rag.explain_cache(Question(question, conditions, tenant))
    if as_json:
        print_json({"question": question, "entries": [asdict(verdict) for verdict in verdicts]})
        return
    from rich.text import Text

    from ragkit.cli.printing import clean, console

    screen = console()
    if not verdicts:
        screen.print("no entry comes near: the question would be answered anew")
        return
    for verdict in verdicts:
        screen.print(Text(f"{verdict.similarity:.3f} {clean(verdict.question)}"), soft_wrap=True)
        told = "; ".join(verdict.against) if verdict.against else f"would be served ({verdict.tier})"
        screen.print(Text(f"      {told}", style="green" if not verdict.against else "yellow"), soft_wrap=True)


@app.command()
def report(config: ConfigOption = None, sets: SetOption = None, as_json: JsonOption = False) -> None:
    """Wrong hits among those in other words, by what people said and by answers made anew beside them; the most that
    their share can be, and whether it keeps to `cache.max_false_hits`."""
    from ragkit.gateway.cache_report import judged_hits

    loaded = load(config, sets)
    with _opened(loaded) as store:
        found = judged_hits(store, loaded.cache.max_false_hits)
    if as_json:
        print_json(asdict(found))
        return
    from rich.text import Text

    from ragkit.cli.printing import clean, console

    screen = console()
    screen.print(f"{found.hits:,} hits in other words, {found.judged:,} judged by people, {found.wrong:,} called wrong")
    if found.held or found.doubted:
        screen.print(
            f"asked anew: {found.held:,} compared while hits were stopped, {found.differed:,} differed;"
            f" {found.doubted:,} as their entry was not trusted with them",
            soft_wrap=True,
        )
    if found.bound is None:
        screen.print("no bound without a verdict; 299 judged hits without a wrong one show at most 1%")
    else:
        screen.print(f"share of wrong hits: at most {found.bound:.2%} (95%, Clopper and Pearson)")
    if found.allowed is not None:
        screen.print(_kept_to(found.allowed, found.stopped), soft_wrap=True)
    for asked, stored in found.pairs:
        screen.print(Text(f"  {clean(asked)} - answered as: {clean(stored)}"), soft_wrap=True)


def _kept_to(allowed: float, stopped: Sequence[str]) -> str:
    from ragkit.cli.printing import clean

    if not stopped:
        return f"hits in other words are given: no wrong one, or the bound keeps to {allowed:.2%}"
    whose = "; ".join(f"tenant {clean(tenant)}" if tenant else "questions without a tenant" for tenant in stopped)
    return f"no hits in other words until the bound is at most {allowed:.2%}: {whose}"


@contextmanager
def _opened(config: Config) -> Generator[CacheStore]:
    from ragkit.gateway.cache_store import open_store

    path: Path = config.cache.path
    if config.cache.mode == "off":
        raise RagkitError("the config has no cache", mend="set cache.mode: exact")
    if config.cache.store == "sqlite" and not path.exists():
        raise RagkitError(f"there is no cache {path} yet", mend="it is made with the first answer")
    with closing(open_store(config.cache)) as store:
        yield store
