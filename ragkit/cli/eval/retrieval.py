"""`ragkit eval retrieval`: nDCG, recall and MRR of the configured retrieval on a BEIR folder, with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ragkit.cli.options import ConfigOption, JsonOption, SetOption, load, print_json


def retrieval(
    dataset: Annotated[
        Path, typer.Option("--dataset", metavar="DIR", help="BEIR folder: corpus.jsonl, queries.jsonl, qrels/test.tsv.")
    ],
    config: ConfigOption = None,
    sets: SetOption = None,
    strategy: Annotated[
        Literal["dense", "sparse", "hybrid", "all"] | None,
        typer.Option("--strategy", help="Instead of the config's; `all` compares the three."),
    ] = None,
    rerank: Annotated[bool, typer.Option("--rerank/--no-rerank", help="Use the configured reranker.")] = True,
    split: Annotated[str, typer.Option("--split", help="Which qrels/SPLIT.tsv to measure on.")] = "test",
    ignore_identical_ids: Annotated[
        bool,
        typer.Option("--ignore-identical-ids", help="BEIR's rule for sets whose queries are documents."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Index a data set once (kept in the cache) and measure retrieval on its judged queries."""
    from rich.console import Console

    from ragkit.cli.printing import clean
    from ragkit.cli.progress import index_progress
    from ragkit.evaluate.beir import read_dataset
    from ragkit.evaluate.report import compare, comparison_table, report_table
    from ragkit.evaluate.retrieval import Strategy, evaluate_retrieval
    from ragkit.evaluate.split import document_clusters

    loaded = load(config, sets)
    wanted: list[Strategy | None] = ["hybrid", "dense", "sparse"] if strategy == "all" else [strategy]
    with index_progress(quiet=as_json) as progress:
        results = [
            evaluate_retrieval(
                loaded,
                dataset,
                strategy=each,
                rerank=rerank,
                split=split,
                ignore_identical_ids=ignore_identical_ids,
                progress=progress,
            )
            for each in wanted
        ]
    for note in results[0][0]["notes"]:
        typer.echo(clean(f"note: {note}"), err=True)
    console = Console()
    if len(results) == 1:
        report, _ = results[0]
        if as_json:
            print_json(report)
        else:
            console.print(report_table(report))
            console.print(f"{report['strategy']}, config {report['config_hash']}, data {report['data_hash']}")
        return
    comparison = compare(
        {report["strategy"]: values for report, values in results},
        documents=results[0][0]["documents"],
        cluster_of=document_clusters(read_dataset(dataset, split).qrels),
    )
    if as_json:
        print_json(comparison)
    else:
        console.print(comparison_table(comparison))
