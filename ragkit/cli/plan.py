"""`ragkit plan`: what a larger corpus and its questions would need of machines, from measurements on this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import ConfigOption, JsonOption, SetOption, load, print_json

if TYPE_CHECKING:
    from ragkit.capacity.plan import Assumed, CapacityPlan
    from ragkit.capacity.rates import Rates


def plan(
    documents: Annotated[int, typer.Option("--documents", metavar="N", min=1, help="Documents like those indexed.")],
    qps: Annotated[float, typer.Option("--qps", metavar="Q", min=0, help="Questions a second, on the mean.")] = 1.0,
    utilisation: Annotated[
        float, typer.Option("--utilisation", min=0.05, max=1, help="Share of its cores that a machine may use.")
    ] = 0.6,
    answer_tokens: Annotated[int, typer.Option("--answer-tokens", min=1, help="Tokens of a model's answer.")] = 200,
    gpu_tokens: Annotated[
        float,
        typer.Option("--gpu-tokens-per-second", min=1, help="What a GPU reads and writes, all requests together."),
    ] = 2000.0,
    config: ConfigOption = None,
    sets: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Memory, disk, replicas, GPUs and dollars a month, from a measurement of half a minute over your index."""
    from dataclasses import asdict
    from math import isfinite

    from ragkit.capacity.plan import Assumed
    from ragkit.capacity.plan import plan as reckon
    from ragkit.capacity.rates import measure
    from ragkit.cli.printing import steps
    from ragkit.errors import ConfigError

    loaded = load(config, sets)
    assumed = Assumed(utilisation, answer_tokens, gpu_tokens)
    if not isfinite(qps):
        raise ConfigError(f"--qps {qps} is no number of questions", mend="give one such as 5")
    with steps(quiet=as_json) as doing:
        rates = measure(loaded, doing=doing)
    needed = reckon(loaded, rates, documents, qps, assumed)
    if as_json:
        print_json({"plan": asdict(needed), "measured": asdict(rates), "assumed": asdict(assumed)})
        return
    _print(needed, rates, assumed, loaded.costs.machine_usd_per_hour)


def _print(needed: CapacityPlan, rates: Rates, assumed: Assumed, usd_per_hour: float) -> None:
    from rich.table import Table

    from ragkit.cli.printing import clean, console, counted

    table = Table(title=f"{counted(needed.documents, 'document')}, {needed.qps:g} questions a second")
    for heading in ("what", "needed", "from"):
        table.add_column(heading, overflow="fold")
    trials = ", ".join(f"{point.chunks:,}" for point in rates.points)
    per = f"{rates.chunks / rates.documents:.1f} a document, {rates.chunk_tokens:.0f} tokens each, as in your index"
    table.add_row("chunks", f"{needed.chunks:,}", per)
    table.add_row("disk", _bytes(needed.disk_bytes), f"a line through trial indexes of {trials} chunks")
    table.add_row("disk while indexing", _bytes(needed.disk_peak_bytes), "a change works on a copy")
    table.add_row(
        "memory, least", _bytes(needed.memory_bytes), f"models {_bytes(rates.base_bytes)}, the rest by trials"
    )
    table.add_row("memory, index cached", _bytes(needed.memory_cached_bytes), "with it no search waits for the disk")
    hours = needed.index_core_s / 3600
    table.add_row(
        "indexing", f"{hours:,.1f} core-hours", f"{hours / rates.cores:,.1f} h on {rates.cores} cores like these"
    )
    parts = ", ".join(f"{name} {seconds * 1e3:.1f}" for name, seconds in needed.question_core_s.items() if seconds)
    total = sum(needed.question_core_s.values())
    table.add_row("a question", f"{total * 1e3:.1f} ms of a core", parts)
    share = f"{assumed.utilisation:.0%} of {rates.cores} cores each"
    table.add_row(
        "replicas", f"{needed.replicas}", f"{share}; two at least, if one may fail" if needed.replicas == 1 else share
    )
    if needed.gpu_s_per_question:
        rate = f"{assumed.gpu_tokens_per_s:,.0f} tokens a second, {assumed.answer_tokens} of an answer (assumed)"
        table.add_row("GPU", f"{needed.gpus}, {needed.gpu_s_per_question:.2f} s a question", rate)
    machines = f"costs.machine_usd_per_hour {usd_per_hour:g}, 730 hours"
    price = f"${needed.machines_usd_month:,.2f}" if usd_per_hour else "no price set"
    table.add_row("machines a month", price, machines)
    for money in needed.models_usd_month:
        price = "unpriced" if money.usd is None else f"${money.usd:,.2f}"
        table.add_row(f"{clean(money.name)} a month", price, f"{assumed.answer_tokens} tokens of an answer (assumed)")
    for part in needed.left_out:
        table.add_row("not reckoned", part, "")
    console().print(table)


def _bytes(count: int) -> str:
    """
    >>> _bytes(1_500_000_000), _bytes(45_000_000)
    ('1.5 GB', '45 MB')
    """
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"
