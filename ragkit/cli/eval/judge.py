"""`ragkit eval judge`: let judges score the answers of a run."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ragkit.cli.eval.run import RunsOption
from ragkit.cli.options import ConfigOption, JsonOption, SetOption, load, print_json


def judge(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, the beginning of one, or `last`.")] = "last",
    kind: Annotated[
        Literal["lexical", "embedding", "llm", "ragas"] | None,
        typer.Option("--kind", help="A judge; left out, those that the run's suite names."),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="llm, ragas: the model.")] = None,
    backend: Annotated[
        Literal["openai", "llama_cpp"], typer.Option("--backend", help="llm: a server, or llama.cpp in this process.")
    ] = "openai",
    base_url: Annotated[str | None, typer.Option("--base-url", help="llm, ragas: address of the API.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Ask again for judgements that failed.")] = False,
    config: ConfigOption = None,
    sets: SetOption = None,
    runs_file: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score the answers of a run; a verdict that is kept is not asked for again."""
    import os

    from pydantic import SecretStr, ValidationError

    from ragkit.cli.eval.run import as_dict
    from ragkit.cli.eval.tables import summary_tables
    from ragkit.cli.printing import console, loading
    from ragkit.errors import ConfigError
    from ragkit.evaluate.judges.settings import JudgeSettings
    from ragkit.evaluate.run import judge_run
    from ragkit.evaluate.runs import DEFAULT_FILE, Runs
    from ragkit.evaluate.suite import Suite
    from ragkit.evaluate.summary import summarise
    from ragkit.evaluate.validation import in_words
    from ragkit.system import Ragkit

    with Runs(runs_file or DEFAULT_FILE) as runs:
        found = runs.find(run)
        suite = Suite.model_validate(found.details["suite"])
        judges = suite.judges
        if kind is not None:
            given = {"kind": kind, "model": model, "backend": backend, "base_url": base_url}
            try:
                judges = [JudgeSettings.model_validate(given)]
            except ValidationError as error:
                raise ConfigError(in_words(error.errors(include_url=False)[0], JudgeSettings)) from None
        # No key is kept with a run.
        key = os.environ.get("OPENAI_API_KEY")
        judges = [each.model_copy(update={"api_key": SecretStr(key) if key else None}) for each in judges]
        if not judges:
            raise ConfigError("the run's suite names no judges", mend="name one: --kind lexical")
        with Ragkit(load(config, sets)) as rag, loading("judging", quiet=as_json):
            judge_run(runs, found, judges, rag, retry_failed=retry_failed)
        summary = summarise(list(runs.records(found.id)), suite)
    if as_json:
        print_json(as_dict(found, summary))
    else:
        screen = console()
        for part in summary_tables(found, summary, suite.metrics):
            screen.print(part)
