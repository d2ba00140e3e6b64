"""The options that every command shares, reading the config they name, and printing one JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ragkit.config import Config, LoadedConfig

# How every `typer.Typer` of ragkit is made: plain help (Rich takes longer to import than all the rest), no
# decorated tracebacks.
STYLE: dict[str, Any] = {
    "add_completion": False,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Config file; without it ./ragkit.yaml, else defaults."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one config key, e.g. retrieval.top_k=20; repeatable."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def load(config_path: Path | None, overrides: Sequence[str] | None = None) -> Config:
    """The checked config that `--config` and `--set` ask for; a note goes to stderr.

    Raises `ConfigError` that names every problem with file and line.

    >>> load(None, ["retrieval.top_k=20"]).retrieval.top_k
    20
    """
    return load_with_origins(config_path, overrides).config


def load_with_origins(config_path: Path | None, overrides: Sequence[str] | None = None) -> LoadedConfig:
    """As `load`, with the files that were read and where each key came from."""
    from ragkit.config import load_config  # pydantic costs as much time as the rest of `--help`

    loaded = load_config(config_path, overrides or ())
    if loaded.note:
        typer.echo(f"note: {loaded.note}", err=True)
    return loaded


def print_json(value: Mapping[str, object]) -> None:
    """Print one JSON object on one line of stdout; dates and paths become text.

    >>> print_json({"path": Path("a/b"), "score": 0.5})
    {"path": "a/b", "score": 0.5}
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    # Half of a surrogate pair, which a model may write, is no character that a terminal or file takes.
    typer.echo(text.encode("utf-8", "replace").decode("utf-8"))
