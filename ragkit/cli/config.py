"""`ragkit config show|check|hash|schema`: what the configuration says, and whether it is sound."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from ragkit.cli.options import STYLE, ConfigOption, JsonOption, SetOption, load_with_origins, print_json
from ragkit.config import config_hash, config_schema, index_hash, resolved, resolved_yaml
from ragkit.config.written_at import written_at
from ragkit.errors import MissingExtra
from ragkit.models.reference import parse_reference
from ragkit.models.task import check_listed

if TYPE_CHECKING:
    from ragkit.config.schema import Config

app = typer.Typer(help="Show, check and hash the configuration.", **STYLE)


@app.command()
def show(config: ConfigOption = None, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Print every key as it is in force; secrets are masked."""
    loaded = load_with_origins(config, overrides)
    in_force = _as_indexed(loaded.config)
    asked, used = loaded.config.ingestion.chunking, in_force.ingestion.chunking
    if asked != used:
        typer.echo(
            f"note: chunk_size is {used.chunk_size} instead of {asked.chunk_size} and overlap {used.overlap} instead "
            f"of {asked.overlap}: no more fits {loaded.config.ingestion.embedding.model}",
            err=True,
        )
    if as_json:
        print_json({"config": resolved(in_force), "origins": loaded.config.origins})
    else:
        typer.echo(resolved_yaml(in_force), nl=False)


@app.command()
def check(config: ConfigOption = None, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Read the config and name what is wrong with it, up to chunks that the model cannot read and unknown models."""
    loaded = load_with_origins(config, overrides)
    _as_indexed(loaded.config)
    generation, reranking = loaded.config.generation, loaded.config.retrieval.reranking
    if generation.backend in ("llama_cpp", "vllm"):
        with written_at(loaded.config, "generation.model"):
            parse_reference(generation.model or "")
            check_listed(generation.model or "", "generation")
    if reranking.backend == "cross_encoder":
        with written_at(loaded.config, "retrieval.reranking.model"):
            parse_reference(reranking.model or "")
            check_listed(reranking.model or "", "reranking")
    files = [str(file) for file in loaded.files]
    if as_json:
        print_json({"ok": True, "files": files, "config_hash": config_hash(loaded.config)})
    else:
        typer.echo(f"{' over '.join(reversed(files)) or 'built-in defaults'}: fine")


@app.command(name="hash")
def hash_(config: ConfigOption = None, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Print the hashes of the config and of its index settings."""
    loaded = load_with_origins(config, overrides)
    whole, index = config_hash(loaded.config), index_hash(loaded.config)
    if as_json:
        print_json({"config_hash": whole, "index_hash": index})
    else:
        typer.echo(f"config {whole}\nindex  {index}")


@app.command()
def schema(config: ConfigOption = None, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Print the JSON Schema of the config file, for editors."""
    del config, overrides  # taken like every command's, but the schema does not depend on them
    if as_json:
        print_json(config_schema())
    else:
        typer.echo(json.dumps(config_schema(), indent=2, ensure_ascii=False))


def _as_indexed(config: Config) -> Config:
    """The config with the chunk sizes in force; a note on stderr if the model that decides is not installed.

    Raises ConfigError if they do not fit the embedding model, and ModelError if that is not there.
    """
    from ragkit.ingest.settings import as_indexed

    try:
        return as_indexed(config)
    except MissingExtra as error:
        typer.echo(f"note: chunk sizes were not compared with the model's window: {error}", err=True)
        return config
