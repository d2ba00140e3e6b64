"""The commented YAML file that `ragkit init` writes, generated from the schema so that it cannot drift."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from ragkit.config.keys import KeyPath, allowed, schema_at, section_of
from ragkit.config.schema import PREFIXES, Config

# Written as comments: left out, they fit the model. Written out, the sizes are demanded, and most models read less; and
# the empty prefixes are demanded, where the catalogue may know better ones.
_FITTED: frozenset[KeyPath] = frozenset(
    [("ingestion", "chunking", name) for name in ("chunk_size", "overlap")]
    + [("ingestion", "embedding", name) for name in PREFIXES]
)

_OBVIOUS = ("text", "text, or null", "true or false")

_HEAD = """\
# yaml-language-server: $schema={schema}
#
# Every key with its default; delete what you do not change. Further ways to set a key:
#   extends: base.yaml                  start from another file
#   ${{NAME}} or ${{NAME:-default}}         take a value from the environment
#   --set retrieval.top_k=20            on the command line
"""


def config_template(schema: str = "ragkit.schema.json") -> str:
    """A config file with every key, its default, and one comment saying what it means and allows.

    `schema` is the address of the JSON Schema, relative to the file, for editors. The file loads to the
    defaults.

    >>> config_template().splitlines()[0]
    '# yaml-language-server: $schema=ragkit.schema.json'
    """
    body = "\n".join(_section(Config, ()))
    return _HEAD.format(schema=schema) + re.sub(r"\n{3,}", "\n\n", body).rstrip() + "\n"


def _section(part: type[BaseModel], above: tuple[str, ...]) -> list[str]:
    indent = "  " * len(above)
    lines: list[str] = []
    for name, field in part.model_fields.items():
        path = (*above, name)
        section = section_of(field)
        if section is not None:
            lines += ["", f"{indent}{name}:", *_section(section, path), ""]
            continue
        lines += _comment(path, field.description, indent)
        value = _written(name, field.get_default(call_default_factory=True))
        lines += textwrap.indent(value, f"{indent}# " if path in _FITTED else indent).splitlines()
    return lines


def _comment(path: KeyPath, description: str | None, indent: str) -> list[str]:
    node = schema_at(path)
    choices = allowed(node)
    # A list of filters would spell out the whole condition; its description and the schema say it better.
    told = choices if "items" not in node and choices not in _OBVIOUS else ""
    words = " ".join(filter(None, [description, f"({told})" if description and told else told]))
    return textwrap.wrap(words or choices, 100, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


def _written(name: str, value: Any) -> str:
    plain = value.as_posix() if isinstance(value, Path) else value
    if isinstance(plain, str) and "\n" in plain:
        return f"{name}: |\n{textwrap.indent(plain, '  ')}"
    flow = isinstance(plain, list)
    return yaml.safe_dump({name: plain}, default_flow_style=None if flow else False, width=1000, allow_unicode=True)
