"""The file that `ragkit init` writes, and the resolved YAML that `config show` prints."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import yaml

from ragkit.config import Config, config_template, load_config, resolved_yaml
from ragkit.config.keys import leaves


def loaded(text: str, folder: Path) -> Config:
    file = folder / "c.yaml"
    file.write_text(text, encoding="utf-8")
    return load_config(file, environ={}).config


def test_the_template_loads_to_the_defaults(tmp_path: Path) -> None:
    assert loaded(config_template(), tmp_path) == Config()


def test_the_template_holds_every_key_with_a_comment_above_it() -> None:
    lines = config_template().splitlines()
    keys = [
        number
        for number, line in enumerate(lines)
        if re.fullmatch(r" *(# (?=chunk_size|overlap|query_prefix|passage_prefix))?\w+: .+", line)
    ]
    assert [lines[n].split(":")[0].strip(" #") for n in keys] == [path[-1] for path, _ in leaves()]
    assert [lines[n] for n in keys if not lines[n - 1].lstrip().startswith("# ")] == []


def test_the_first_line_names_the_schema_for_editors() -> None:
    assert config_template("s.json").splitlines()[0] == "# yaml-language-server: $schema=s.json"


def test_lines_of_the_template_fit_a_terminal() -> None:
    assert [line for line in config_template().splitlines() if len(line) > 100] == []


def test_shown_yaml_loads_to_the_same_config(tmp_path: Path) -> None:
    filters = [
        {"field": "no", "eq": "1e-3"},
        {"or": [{"field": "d", "gte": date(2024, 1, 1)}, {"not": {"field": "x", "eq": "07"}}]},
    ]
    config = Config.model_validate(
        {
            "ingestion": {
                "embedding": {"query_prefix": "query: ", "model": "007"},
                "sources": ["true", "a b"],
            },
            "retrieval": {"filters": filters},
            "generation": {"system_prompt": "one\n two: three\n\n", "model": None},
            "costs": {"prices": {"mine": {"input": 0.15, "output": 0.6}}},
        }
    )
    assert loaded(resolved_yaml(config), tmp_path) == config


def test_shown_yaml_masks_secrets_and_passwords_in_addresses() -> None:
    generation = {"api_key": "sk-1", "base_url": "http://user:sk-2@host/v1"}
    shown = resolved_yaml(Config.model_validate({"generation": generation}))
    assert "sk-" not in shown
    assert yaml.safe_load(shown)["generation"]["api_key"] == "**********"
    assert yaml.safe_load(shown)["generation"]["base_url"] == "http://**********@host/v1"
