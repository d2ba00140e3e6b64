"""A config as text: the resolved YAML with secrets masked, and the JSON Schema that editors complete from."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr

from ragkit.config.document import reads_as_text
from ragkit.config.keys import json_schema
from ragkit.config.schema import Config

MASK = "**********"


def resolved_yaml(config: Config) -> str:
    """The whole config as YAML, defaults written out; secrets and passwords in addresses are masked.

    >>> "top_k: 10" in resolved_yaml(Config())
    True
    """
    return yaml.dump(resolved(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def resolved(config: Config) -> dict[str, Any]:
    """The whole config as plain data, secrets masked; dates stay dates.

    >>> resolved(Config())["retrieval"]["fusion"]["k"]
    60
    """
    return {name: _plain(part) for name, part in config}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        # Of a filter only what is set is shown; everywhere else null is a value worth seeing.
        sparse = any(field.serialization_alias for field in fields.values())
        return {
            fields[name].serialization_alias or name: _plain(item)
            for name, item in value
            if not (sparse and item is None)
        }
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, str):
        return _without_secrets(value)
    return value


def _without_secrets(text: str) -> str:
    """The text, in an address without password and without what stands behind a question mark.

    >>> _without_secrets("https://me:pw@host/v1?api_key=k")
    'https://**********@host/v1?**********'
    """
    return re.sub(r"(://[^?\s]*\?)\S+", rf"\1{MASK}", re.sub(r"(?<=://)[^/@\s]+(?=@)", MASK, text))


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a block, and quotes what the loader would not read as text."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None if reads_as_text(text) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def config_schema() -> dict[str, Any]:
    """The JSON Schema of a config file: every key with its description, default and allowed values.

    It covers `extends`, and names filters' `and`, `or`, `not` as YAML writes them.

    >>> config_schema()["title"]
    'ragkit configuration'
    """
    schema = copy.deepcopy(json_schema())
    for part in (schema, *schema["$defs"].values()):
        for key in part["properties"].values():
            if "$ref" in key:  # the default of a section repeats those of its keys
                key.pop("default", None)
    extends = {
        "type": "string",
        "description": "Another config file, relative to this one, that this one changes.",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "ragkit configuration",
        "properties": {"extends": extends, **schema["properties"]},
    }
