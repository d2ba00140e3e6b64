"""`ragkit init`: a commented config file to start from, and the JSON Schema that editors complete it with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ragkit.cli.options import JsonOption, print_json
from ragkit.config import config_schema, config_template
from ragkit.errors import ConfigError

SCHEMA = Path(".ragkit/ragkit.schema.json")


def init(
    path: Annotated[Path, typer.Argument(help="The file to write, or a folder to write ragkit.yaml in.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a commented config file with every key, and beside it the schema that editors complete it from.

    Raises `ConfigError` when the file exists and --force is not given, or cannot be written.
    """
    file = path if path.suffix in (".yaml", ".yml") and not path.is_dir() else path / "ragkit.yaml"
    schema = file.parent / SCHEMA
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # "x" refuses an existing file in the same step that creates it.
        with file.open("w" if force else "x", encoding="utf-8") as out:
            out.write(config_template(SCHEMA.as_posix()))
        schema.parent.mkdir(exist_ok=True)
        schema.write_text(json.dumps(config_schema(), indent=2) + "\n", encoding="utf-8")
    except FileExistsError:
        raise ConfigError(f"{file} exists", mend="nothing was changed; --force overwrites it") from None
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename or file}: {error.strerror}") from None
    if as_json:
        print_json({"config": str(file), "schema": str(schema)})
        return
    option = "" if file == Path("ragkit.yaml") else f" --config {file}"
    typer.echo(f"wrote {file}\nnext:  ragkit index FOLDER{option}\n       ragkit ask 'QUESTION'{option}")
