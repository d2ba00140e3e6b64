"""Turn measured runs into plain data (what `--json` prints) and into tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypedDict

from ragkit.evaluate.metrics import PerQuery
from ragkit.evaluate.statistics import RESAMPLES, Interval, clustered_share, mean_intervals, paired_difference
from ragkit.evaluate.summary import ENOUGH_ALIKE

if TYPE_CHECKING:
    from rich.table import Table


class RetrievalReport(TypedDict):
    """Result of one run: the mean of each measure and the bounds (low, high) of its 95% interval."""

    metrics: dict[str, float]
    ci95: dict[str, list[float]]
    queries: int
    documents: int


class Difference(TypedDict):
    """How far a strategy's mean lies from the first one's; `clear` if the 95% interval leaves out zero, and is not that
    of a few queries or documents that all differ by the same."""

    difference: float
    ci95: list[float]
    clear: bool


class Comparison(TypedDict):
    """Reports by strategy, and for each but the first its differences to the first, by measure."""

    baseline: str
    strategies: dict[str, RetrievalReport]
    differences: dict[str, dict[str, Difference]]


def retrieval_report(
    values: PerQuery,
    *,
    documents: int,
    cluster_of: Mapping[str, str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> RetrievalReport:
    """Means and intervals of `values` (measure to query to value) over a corpus of so many documents.

    With `cluster_of` (query to document or article) whole clusters are resampled, see
    `statistics.mean_intervals`; measures that are 0 or 1 everywhere have the interval of `clustered_share`.
    Raises ValueError if there are no queries or `cluster_of` lacks one.

    >>> report = retrieval_report({"mrr@10": {"q1": 1.0, "q2": 1.0}}, documents=7)
    >>> report["metrics"], report["queries"], report["documents"]
    ({'mrr@10': 1.0}, 2, 7)
    >>> [round(bound, 3) for bound in report["ci95"]["mrr@10"]]
    [0.342, 1.0]
    """
    queries = _queries(values)
    clusters = _clusters(queries, cluster_of)
    columns = {name: [by_query[query] for query in queries] for name, by_query in values.items()}
    intervals = mean_intervals(columns, clusters=clusters, resamples=resamples, seed=seed)
    # A bootstrap is too sure of shares near 0 or 1, and certain of those that are.
    shares = [name for name, column in columns.items() if set(column) <= {0.0, 1.0}]
    intervals |= {name: clustered_share(columns[name], clusters or queries) for name in shares}
    return {
        "metrics": {name: interval.mean for name, interval in intervals.items()},
        "ci95": {name: [interval.low, interval.high] for name, interval in intervals.items()},
        "queries": len(queries),
        "documents": documents,
    }


def compare(
    runs: Mapping[str, PerQuery],
    *,
    documents: int,
    cluster_of: Mapping[str, str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Report every strategy of `runs` (name to its values) and its paired differences to the first.

    Raises ValueError if `runs` is empty or two strategies were measured on different queries or measures.

    >>> runs = {"dense": {"mrr@10": {"q1": 0.5, "q2": 0.25}}, "hybrid": {"mrr@10": {"q1": 1.0, "q2": 0.75}}}
    >>> compare(runs, documents=7)["differences"]["hybrid"]["mrr@10"]
    {'difference': 0.5, 'ci95': [0.5, 0.5], 'clear': False}
    """
    if not runs:
        raise ValueError("nothing to compare")
    baseline, first = next(iter(runs.items()))
    queries = _queries(first)
    clusters = _clusters(queries, cluster_of)
    differences: dict[str, dict[str, Difference]] = {}
    for name, values in runs.items():
        if values.keys() != first.keys() or set(_queries(values)) != set(queries):
            raise ValueError(f"{name} and {baseline} were not measured on the same queries and measures")
        if name != baseline:
            differences[name] = {
                measure: _difference(
                    paired_difference(
                        [first[measure][query] for query in queries],
                        [values[measure][query] for query in queries],
                        clusters=clusters,
                        resamples=resamples,
                        seed=seed,
                    ),
                    len(set(clusters or queries)),
                )
                for measure in first
            }
    strategies = {
        name: retrieval_report(values, documents=documents, cluster_of=cluster_of, resamples=resamples, seed=seed)
        for name, values in runs.items()
    }
    return {"baseline": baseline, "strategies": strategies, "differences": differences}


def report_table(report: RetrievalReport) -> Table:
    """A Rich table with one row a measure: measure, mean, 95% interval.

    >>> from rich.console import Console
    >>> table = report_table(retrieval_report({"mrr@10": {"q1": 1.0}}, documents=7))
    >>> table.title, table.row_count
    ('1 query, 7 documents', 1)
    """
    from rich.table import Table

    table = Table(title=_title(report))
    table.add_column("metric")
    table.add_column("value", justify="right")
    table.add_column("95% interval", justify="right")
    for name, value in report["metrics"].items():
        low, high = report["ci95"][name]
        table.add_row(name, f"{value:.3f}", f"{low:.3f} to {high:.3f}")
    return table


def comparison_table(comparison: Comparison) -> Table:
    """A Rich table, one row a measure and strategy: mean, 95% interval, difference to the first.

    A difference whose interval leaves out zero is marked with a star.
    """
    from rich.table import Table

    baseline = comparison["baseline"]
    table = Table(title=_title(comparison["strategies"][baseline]))
    for heading in ("metric", "strategy"):
        table.add_column(heading)
    for heading in ("value", "95% interval", f"difference to {baseline}"):
        table.add_column(heading, justify="right")
    for measure in comparison["strategies"][baseline]["metrics"]:
        for name, report in comparison["strategies"].items():
            low, high = report["ci95"][measure]
            changed = comparison["differences"].get(name)
            table.add_row(
                measure if name == baseline else "",
                name,
                f"{report['metrics'][measure]:.3f}",
                f"{low:.3f} to {high:.3f}",
                _signed(changed[measure]) if changed else "",
                end_section=name == list(comparison["strategies"])[-1],
            )
    return table


def _queries(values: PerQuery) -> list[str]:
    queries = [list(by_query) for by_query in values.values()]
    if not queries or not queries[0] or any(set(others) != set(queries[0]) for others in queries):
        raise ValueError("every measure needs a value for the same queries, at least one")
    return queries[0]


def _clusters(queries: list[str], cluster_of: Mapping[str, str] | None) -> list[str] | None:
    if cluster_of is None:
        return None
    missing = [query for query in queries if query not in cluster_of]
    if missing:
        raise ValueError(f"no cluster for {len(missing)} queries, the first is {missing[0]!r}")
    return [cluster_of[query] for query in queries]


def _difference(interval: Interval, clusters: int) -> Difference:
    is_known = interval.low < interval.high or clusters >= ENOUGH_ALIKE
    return {
        "difference": interval.mean,
        "ci95": [interval.low, interval.high],
        "clear": interval.excludes_zero and is_known,
    }


def _signed(difference: Difference) -> str:
    low, high = difference["ci95"]
    star = " *" if difference["clear"] else ""
    return f"{difference['difference']:+.3f} ({low:+.3f} to {high:+.3f}){star}"


def _title(report: RetrievalReport) -> str:
    queries = report["queries"]
    return f"{queries:,} {'query' if queries == 1 else 'queries'}, {report['documents']:,} documents"
