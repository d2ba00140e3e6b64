"""`ragkit config show|check|hash|schema`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from ragkit.cli.main import main
from ragkit.config import Config, config_hash, config_schema, index_hash


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_show_prints_the_resolved_config_and_where_keys_came_from(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.yaml").write_text("\nretrieval:\n  top_k: 3\ngeneration: {api_key: sk-1}\n", encoding="utf-8")
    args = ["config", "show", "-c", "a.yaml", "--set", "retrieval.candidates=30"]
    assert main(args) == 0
    out = capsys.readouterr().out
    assert yaml.safe_load(out)["retrieval"]["candidates"] == 30
    assert "sk-1" not in out
    assert main([*args, "--json"]) == 0
    shown = json.loads(out := capsys.readouterr().out)
    assert shown["config"]["retrieval"]["top_k"] == 3
    assert shown["origins"] == {
        "retrieval.top_k": "a.yaml:3",
        "generation.api_key": "a.yaml:4",
        "retrieval.candidates": "--set",
    }
    assert "sk-1" not in out


def test_check_says_fine_or_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.yaml").write_text("retrieval: {top_k: 3}", encoding="utf-8")
    Path("b.yaml").write_text("extends: a.yaml", encoding="utf-8")
    assert main(["config", "check", "-c", "b.yaml"]) == 0
    assert capsys.readouterr() == ("b.yaml over a.yaml: fine\n", "")
    assert main(["config", "check", "-c", "b.yaml", "--set", "retrieval.topk=3"]) == 2
    assert capsys.readouterr().err == "error: --set retrieval.topk: unknown key; did you mean top_k?\n"


def test_check_compares_the_chunks_with_what_the_model_reads(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.yaml").write_text("ingestion: {chunking: {chunk_size: 512}}", encoding="utf-8")
    assert main(["config", "check", "-c", "a.yaml"]) == 2
    assert "chunk_size is 512, but all-MiniLM-L6-v2 reads 256 tokens" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("ingestion: {chunking: {\nchunk_size: 512}}", "3: ingestion.chunking.chunk_size is 512"),
        ("ingestion: {chunking: {\noverlap: 300}}", "3: ingestion.chunking.overlap (300) must be smaller"),
        ("ingestion: {chunking: {\nlanguage: english}}", "3: ingestion.chunking.language: 'english' is no"),
        ("ingestion: {embedding: {\nmax_tokens: 20}}", "3: all-MiniLM-L6-v2 reads 20 tokens, which leaves no room"),
        ("ingestion: {embedding: {\nmax_tokens: 4000}}", "3: ingestion.embedding.max_tokens is 4000, but"),
        ("ingestion: {embedding: {\nmodel: no/such}}", "3: embedding model 'no/such' is neither"),
        ("ingestion: {embedding: {\ndimensions: 999}}", "3: ingestion.embedding.dimensions is 999, but"),
        ("retrieval: {bm25: {\nlanguage: klingon}}", "3: retrieval.bm25.language: there is no stemmer for 'klingon'"),
        ("generation: {backend: llama_cpp,\nmodel: qwen}", "3: no model is called 'qwen'"),
    ],
)
def test_what_does_not_fit_the_model_is_named_with_file_and_line(
    part: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("base.yaml").write_text(f"\n{part}", encoding="utf-8")
    Path("a.yaml").write_text("extends: base.yaml", encoding="utf-8")
    assert main(["config", "check", "-c", "a.yaml"]) == 2
    assert capsys.readouterr().err.startswith(f"error: base.yaml:{said}")
    assert main(["config", "check", "--set", "ingestion.embedding.model=no/such"]) == 2
    assert "error: --set: embedding model 'no/such'" in capsys.readouterr().err


def test_show_prints_the_chunk_sizes_that_are_used(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.yaml").write_text("retrieval: {top_k: 3}", encoding="utf-8")
    assert main(["config", "show", "-c", "a.yaml"]) == 0
    out, err = capsys.readouterr()
    assert "chunk_size: 221" in out
    assert err == (
        "note: chunk_size is 221 instead of 512 and overlap 22 instead of 50: no more fits all-MiniLM-L6-v2\n"
    )


def test_without_a_file_a_note_on_stderr_says_that_defaults_are_used(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["config", "check", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"ok": True, "files": [], "config_hash": config_hash(Config())}
    assert err.startswith("note: no ragkit.yaml in ")


def test_hash_prints_both_hashes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "hash", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "config_hash": config_hash(Config()),
        "index_hash": index_hash(Config()),
    }
    assert main(["config", "hash"]) == 0
    assert capsys.readouterr().out == f"config {config_hash(Config())}\nindex  {index_hash(Config())}\n"


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_schema_prints_the_json_schema(form: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema", *form]) == 0
    assert json.loads(capsys.readouterr().out) == config_schema()


@pytest.mark.parametrize(
    ("setting", "gist"),
    [
        (
            "ingestion.chunking.language=klingon",
            "'klingon' is no language code; write one of ISO 639",
        ),
        ("ingestion.chunking.language=german", "'german' is no language code; did you mean de?"),
        ("ingestion.chunking.language=xx", "'xx' is no language code"),
        ("retrieval.bm25.language=klingon", "there is no stemmer for 'klingon'; choose one of arabic, azerbaijani"),
        ("retrieval.bm25.language=germn", "there is no stemmer for 'germn'; did you mean german?"),
    ],
)
def test_check_knows_the_languages(capsys: pytest.CaptureFixture[str], setting: str, gist: str) -> None:
    assert main(["config", "check", "--set", setting]) == 2
    assert f"{setting.split('=')[0]}: {gist}" in capsys.readouterr().err
    for fine in ("ingestion.chunking.language=de", "ingestion.chunking.language=bho", "retrieval.bm25.language=german"):
        assert main(["config", "check", "--set", fine]) == 0


@pytest.mark.parametrize(
    ("settings", "gist"),
    [
        (["generation.backend=llama_cpp", "generation.model=qwen9"], "no model is called 'qwen9'"),
        (["ingestion.embedding.dimensions=9999"], "dimensions is 9999, but all-MiniLM-L6-v2 has 384; leave it out"),
        (["ingestion.embedding.device=gpu"], "ingestion.embedding.device: this is no device; write cpu, cuda"),
        (["generation.base_url=localhost:8000/v1"], "generation.base_url: this is no http or https address"),
        (["ingestion.store.url=http://me:hush@host:port"], "ingestion.store.url: this is no http or https address"),
        (
            ["generation.backend=openai", "generation.model=gpt-4o-mini", "generation.citations=grammar"],
            "generation: citations: grammar is nothing that OpenAI's API knows; set json_schema or tags",
        ),
    ],
)
def test_check_finds_what_would_fail_at_the_first_question(
    capsys: pytest.CaptureFixture[str], settings: list[str], gist: str
) -> None:
    assert main(["config", "check", *(word for setting in settings for word in ("--set", setting))]) == 2
    said = capsys.readouterr().err
    assert gist in said
    assert "hush" not in said


@pytest.mark.parametrize(
    ("section", "backend", "name", "said"),
    [
        ("retrieval.reranking", "cross_encoder", "all-MiniLM-L6-v2", "is a model for embedding, not for reranking"),
        ("retrieval.reranking", "cross_encoder", "bge-rerankr", "did you mean bge-reranker-base?"),
        ("generation", "llama_cpp", "all-MiniLM-L6-v2", "is a model for embedding, not for generation"),
    ],
)
def test_check_looks_at_the_task_of_each_model(
    capsys: pytest.CaptureFixture[str], section: str, backend: str, name: str, said: str
) -> None:
    assert main(["config", "check", "--set", f"{section}.backend={backend}", "--set", f"{section}.model={name}"]) == 2
    assert said in capsys.readouterr().err
