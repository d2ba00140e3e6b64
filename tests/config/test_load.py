"""Reading a config: merging, variables, overrides, and what each mistake is answered with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_core import ErrorDetails

from ragkit.config import Config, load_config
from ragkit.config.document import Document, Origin
from ragkit.config.problems import explain
from ragkit.errors import ConfigError

Write = Callable[[str, str], Path]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in an empty folder, so that messages name files as a user would."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config_of(text: str, *overrides: str, environ: Mapping[str, str] | None = None) -> Config:
    Path("c.yaml").write_text(text, encoding="utf-8")
    return load_config(Path("c.yaml"), overrides, environ or {}).config


def error_of(text: str, *overrides: str, environ: Mapping[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        config_of(text, *overrides, environ=environ)
    return str(caught.value)


# --- where the config comes from ---


def test_without_a_file_the_defaults_are_used_and_said_to_be() -> None:
    loaded = load_config(None)
    assert loaded.config == Config()
    assert loaded.files == ()
    assert loaded.note is not None
    assert "ragkit init" in loaded.note


def test_a_file_called_ragkit_yaml_in_the_working_directory_is_found() -> None:
    Path("ragkit.yaml").write_text("retrieval: {top_k: 3}", encoding="utf-8")
    loaded = load_config(None)
    assert loaded.config.retrieval.top_k == 3
    assert loaded.files == (Path("ragkit.yaml"),)
    assert loaded.note is None


@pytest.mark.parametrize(
    "text", ["", "\n", "# only a comment\n", "---\n", "retrieval:\n  # top_k: 3\n", "\ufeffretrieval:\n"]
)
def test_a_file_that_sets_nothing_gives_the_defaults(text: str) -> None:
    assert config_of(text) == Config()


def test_a_missing_file_is_named_with_the_mend() -> None:
    with pytest.raises(ConfigError, match=r"no config file x\.yaml; run: ragkit init x\.yaml"):
        load_config(Path("x.yaml"))


def test_a_folder_and_a_file_that_is_not_text_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        load_config(folder)
    Path("b.yaml").write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match=r"b\.yaml is not UTF-8 text"):
        load_config(Path("b.yaml"))


def test_a_relative_store_path_stays_relative_to_the_working_directory(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub/c.yaml").write_text("ingestion: {store: {path: idx}}", encoding="utf-8")
    assert load_config(Path("sub/c.yaml")).config.ingestion.store.path == Path("idx")


def test_only_keys_that_were_written_count_as_set() -> None:
    written = config_of("ingestion: {chunking: {overlap: 50}}", "retrieval.top_k=10")
    assert written.ingestion.chunking.model_fields_set == {"overlap"}
    assert written.retrieval.model_fields_set == {"top_k"}
    assert written.model_fields_set == {"ingestion", "retrieval"}
    assert config_of("ingestion: {chunking: {chunk_size: 512}}").ingestion.chunking.model_fields_set == {"chunk_size"}


# --- scalars ---


def test_scalars_are_read_as_in_yaml_1_2_and_dates_are_dates() -> None:
    config = config_of(
        "retrieval:\n  fusion: {alpha: 1e-3}\n  filters: [{field: no, gte: 2024-01-31}, {field: p, eq: 0x10}]"
    )
    assert config.retrieval.fusion.alpha == 0.001
    assert [f.field for f in config.retrieval.filters] == ["no", "p"]
    assert config.retrieval.filters[0].gte == date(2024, 1, 31)
    assert config.retrieval.filters[1].eq == 16


def test_a_key_that_takes_text_keeps_it_as_written() -> None:
    config = config_of(
        "generation: {model: 007, api_version: 2024-10-21}\n"
        "ingestion: {sources: [2024, true], chunking: {language: no}}"
    )
    assert (config.generation.model, config.generation.api_version) == ("007", "2024-10-21")
    assert config.ingestion.sources == ["2024", "true"]
    assert config.ingestion.chunking.language == "no"


@pytest.mark.parametrize("null", ["null", "~", ""])
def test_null_is_null_where_null_is_allowed(null: str) -> None:
    assert config_of(f"generation:\n  model: {null}").generation.model is None


# --- variables ---


def test_a_value_that_is_one_variable_is_read_as_yaml() -> None:
    assert config_of("retrieval:\n  top_k: ${K}", environ={"K": "7"}).retrieval.top_k == 7
    assert config_of("retrieval:\n  top_k: ${K:-8}").retrieval.top_k == 8
    assert config_of("retrieval:\n  top_k: ${K:-8}", environ={"K": ""}).retrieval.top_k == 8


def test_a_variable_cannot_bring_in_yaml_structure() -> None:
    config = config_of("generation:\n  model: ${M}", environ={"M": "{a: 1}\nb: 2"})
    assert config.generation.model == "{a: 1}\nb: 2"


@pytest.mark.parametrize("value", ["12345", "1e5", "true", "2024-01-01", "0x1F", "null-ish"])
def test_secrets_from_variables_stay_text(value: str) -> None:
    key = config_of("generation:\n  api_key: ${KEY}", environ={"KEY": value}).generation.api_key
    assert key == SecretStr(value)


def test_an_empty_secret_is_no_secret() -> None:
    assert config_of("generation:\n  api_key: ${KEY:-}").generation.api_key is None


def test_variables_stand_inside_text_and_can_be_escaped() -> None:
    config = config_of(
        "generation:\n  base_url: http://${HOST:-localhost}:${PORT}/v1\n  system_prompt: 'keep $${PORT} and $5'",
        environ={"PORT": "80"},
    )
    assert config.generation.base_url == "http://localhost:80/v1"
    assert config.generation.system_prompt == "keep ${PORT} and $5"


def test_a_missing_variable_is_named_with_file_and_line() -> None:
    message = error_of("# first\nretrieval:\n  top_k: ${TOP_K}\n")
    assert message.startswith("c.yaml:3: retrieval.top_k: the environment variable TOP_K is not set")


def test_a_malformed_variable_is_an_error() -> None:
    assert "${A-b} names no variable" in error_of("generation:\n  model: ${A-b}")


def test_an_unquoted_variable_in_braces_is_explained() -> None:
    message = error_of("retrieval: {top_k: ${K}}")
    assert message.startswith("c.yaml:1:")
    assert message.endswith("inside { } or [ ] a ${NAME} needs quotes")


# --- extends ---


def test_extends_merges_sections_and_replaces_lists(folder: Path) -> None:
    (folder / "d").mkdir()
    (folder / "d/base.yaml").write_text(
        "ingestion: {sources: [a, b]}\nretrieval: {top_k: 3, candidates: 30}", encoding="utf-8"
    )
    Path("d/mid.yaml").write_text("extends: base.yaml\nretrieval: {candidates: 40}\n", encoding="utf-8")
    Path("top.yaml").write_text("extends: d/mid.yaml\ningestion: {sources: [c]}\n", encoding="utf-8")
    loaded = load_config(Path("top.yaml"))
    assert loaded.config.ingestion.sources == ["c"]
    assert (loaded.config.retrieval.top_k, loaded.config.retrieval.candidates) == (3, 40)
    assert loaded.files == (Path("d/base.yaml"), Path("d/mid.yaml"), Path("top.yaml"))
    assert dict(loaded.config.origins) == {
        "retrieval.top_k": "d/base.yaml:2",
        "retrieval.candidates": "d/mid.yaml:2",
        "ingestion.sources": "top.yaml:2",
    }


def test_a_mistake_in_an_extended_file_is_named_there() -> None:
    Path("base.yaml").write_text("\nretrieval:\n  topk: 3\n", encoding="utf-8")
    assert error_of("extends: base.yaml") == "base.yaml:3: retrieval.topk: unknown key; did you mean top_k?"


def test_extends_in_a_circle_or_to_nothing_is_an_error() -> None:
    Path("d.yaml").write_text("extends: c.yaml", encoding="utf-8")
    assert error_of("extends: d.yaml") == ("d.yaml:1: extends: goes in a circle: c.yaml extends d.yaml extends c.yaml")
    assert error_of("\nextends: no.yaml").startswith("c.yaml:2: extends: there is no file no.yaml")
    assert error_of("extends: [a]") == "c.yaml:1: extends: name one YAML file"


# --- overrides ---


def test_overrides_are_yaml_and_win_over_the_file() -> None:
    config = config_of(
        "retrieval: {top_k: 3}",
        "retrieval.top_k=4",
        "ingestion.sources=[a, b]",
        "generation.refusal={min_confidence: 0}",
    )
    assert config.retrieval.top_k == 4
    assert config.ingestion.sources == ["a", "b"]
    assert config.generation.refusal.min_confidence == 0


def test_the_last_override_wins_and_a_value_may_hold_equals_signs() -> None:
    config = config_of("", "generation.model=a", "generation.model=b=c")
    assert config.generation.model == "b=c"


def test_an_empty_override_is_empty_text_where_null_is_not_allowed() -> None:
    config = config_of("ingestion: {embedding: {query_prefix: q}}", "ingestion.embedding.query_prefix=")
    assert config.ingestion.embedding.query_prefix == ""
    assert "found nothing" in error_of("", "retrieval.top_k=")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("retrieval.topk=3", "--set retrieval.topk: unknown key; did you mean top_k?"),
        ("top_k=3", "--set top_k: unknown key; it belongs at retrieval.top_k"),
        (
            "retrieval.top_k=abc",
            "--set retrieval.top_k: found the text 'abc'; allowed: a whole number, at least 1, at most 1000",
        ),
        ("nonsense", "--set nonsense: write it as key=value, e.g. --set retrieval.top_k=20"),
        ("=3", "--set ...: write it as key=value, e.g. --set retrieval.top_k=20"),
        (
            "retrieval.top_k={",
            "--set retrieval.top_k: not readable as YAML: a value is missing, or a bracket is not closed",
        ),
        (
            "retrieval.top_k.x=3",
            "--set retrieval.top_k: found keys and values; allowed: a whole number, at least 1, at most 1000",
        ),
    ],
)
def test_a_wrong_override_is_named_as_such(override: str, message: str) -> None:
    assert error_of("", override) == message


# --- mistakes ---


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("generation:\n  top_k: 3", "c.yaml:2: generation.top_k: unknown key; it belongs at retrieval.top_k"),
        ("embeddings: {}", "c.yaml:1: embeddings: unknown key; did you mean ingestion.embedding?"),
        ("zzz: 1", "c.yaml:1: zzz: unknown key; known here: ingestion, retrieval, generation"),
        (
            "retrieval:\n  strategy: hybird",
            "c.yaml:2: retrieval.strategy: found the text 'hybird'; allowed: dense, sparse or hybrid; "
            "did you mean hybrid?",
        ),
        (
            "retrieval: {top_k: 2.5}",
            "c.yaml:1: retrieval.top_k: found 2.5; allowed: a whole number, at least 1, at most 1000",
        ),
        (
            "retrieval: {top_k: true}",
            "c.yaml:1: retrieval.top_k: found true; allowed: a whole number, at least 1, at most 1000",
        ),
        (
            "ingestion: {follow_symlinks: yes}",
            "c.yaml:1: ingestion.follow_symlinks: found the text 'yes'; allowed: true or false",
        ),
        (
            "generation:\n  refusal: [1]",
            "c.yaml:2: generation.refusal: found a list; allowed: a section with the keys max_false_refusals",
        ),
        (
            "ingestion: {sources: docs}",
            "c.yaml:1: ingestion.sources: found the text 'docs'; allowed: a list, each item text",
        ),
        (
            "ingestion:\n  chunking:\n    chunk_size: 30",
            "c.yaml:3: ingestion.chunking: overlap (50) must be smaller than chunk_size (30)",
        ),
        (
            "retrieval:\n  filters:\n    - {feild: x}",
            "c.yaml:3: retrieval.filters[0].feild: unknown key; did you mean field?",
        ),
        (
            "retrieval: {filters: [{field: d, gt: 2024-13-01}]}",
            "c.yaml:1: retrieval.filters[0].gt: is no date of the calendar",
        ),
        (
            "retrieval:\n  top_k: 3\n  top_k: 4",
            "c.yaml:3: retrieval.top_k: this key stands here twice, first in line 2; keep one of them",
        ),
        (
            "retrieval: {filters: [{field: d, gt: .inf}]}",
            "c.yaml:1: retrieval.filters[0].gt: found inf; allowed:",
        ),
        ("- a", "c.yaml:1: the file must hold keys and values; found a list"),
        ("hello", "c.yaml:1: the file must hold keys and values; found a single value"),
        ("retrieval:\n\ttop_k: 3", "c.yaml:2:1: not readable as YAML: a tab is used for indentation"),
        ("a: b: c", "c.yaml:1:5: not readable as YAML: a ':' too many: check the indentation, or put quotes"),
        ("a: &x\n  b: *x", "c.yaml:2: a.b: an alias contains itself"),
    ],
)
def test_a_mistake_is_answered_with_place_finding_and_mend(text: str, message: str) -> None:
    assert message in error_of(text)


def test_every_problem_is_reported_at_once_in_the_order_of_the_file() -> None:
    message = error_of("retrieval:\n  topk: 3\n  candidates: x\ngeneration:\n  model: ${NO}\n  temprature: 1\n")
    head, *rest = message.splitlines()
    assert head == "4 problems in the configuration"
    assert [line.strip().split(":")[1] for line in rest] == ["2", "3", "5", "6"]


def test_a_value_that_could_not_be_read_is_reported_once() -> None:
    assert "\n" not in error_of("retrieval:\n  top_k: ${NO}\n")


def test_what_only_follows_from_an_unread_value_is_not_reported() -> None:
    message = error_of("retrieval:\n  reranking:\n    backend: http\n    base_url: ${NO}\n")
    assert message.startswith("c.yaml:4: retrieval.reranking.base_url: the environment variable NO is not set")
    assert "\n" not in message


def test_a_refused_secret_is_not_repeated_whatever_refused_it() -> None:
    # No rule of today's schema refuses the text of a key; one that did must not print it.
    path = ("generation", "api_key")
    refused: ErrorDetails = {"type": "string_too_long", "loc": path, "msg": "", "input": "sk-secret"}
    document = Document(origins={path: Origin("c.yaml", 2)})
    assert explain([refused], document)[0].text == "generation.api_key: found text; allowed: text, or null"


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ("generation:\n  api_key: [sk-secret]", ()),
        ("generation:\n  api_key: {k: sk-secret}", ()),
        ("generation:\n  api_kay: sk-secret", ()),
        ("generation: sk-secret", ()),
        ("retrieval:\n  top_k: ${KEY}", ()),
        ("generation:\n  api_key: sk-secret\n  temperature: hot", ()),
        ("", ("generation.api_key=[sk-secret]",)),
        ("", ("retrieval.top_k=${KEY}",)),
        ("generation:\n  api_key: sk-secret\n  backend: openai", ()),
    ],
)
def test_no_error_shows_a_secret(text: str, overrides: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(text, *overrides, environ={"KEY": "sk-secret"})
    assert "sk-secret" not in str(caught.value)
    assert caught.value.__context__ is None  # pydantic's error repeats its input; a log would show it


def test_messages_are_free_of_pydantic() -> None:
    message = error_of("retrieval: {top_k: x, zzz: 1, fusion: {k: null}}\ningestion: []")
    assert not any(word in message.lower() for word in ("pydantic", "http", "input should", "type=", "none"))
