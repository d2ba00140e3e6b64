"""Where a model is found, what it reads, and that its bytes are the publisher's."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from ragkit.config.schema import Embedding
from ragkit.embed import make_embedder, make_token_counter
from ragkit.embed.models import model_dimensions, model_folder, model_positions, model_window, verify_weights
from ragkit.embed.static import word_embeddings
from ragkit.errors import ModelError
from ragkit.models.cache import check_sha256
from ragkit.models.catalogue import catalogue

NAME = "all-MiniLM-L6-v2"
SHA256 = catalogue()[NAME].files[0].sha256


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packaged model, to be changed."""
    return Path(shutil.copytree(model_folder(NAME), tmp_path / "model"))


def test_a_known_name_is_a_folder_of_its_package() -> None:
    folder = model_folder(NAME)
    assert (folder / "model.safetensors").is_file()
    assert model_folder(f"sentence-transformers/{NAME}") == folder
    assert model_window(folder) == 256


def test_the_weights_are_the_publishers() -> None:
    assert verify_weights(NAME)
    assert verify_weights(f"sentence-transformers/{NAME}")


def test_one_flipped_bit_is_noticed(copy: Path) -> None:
    weights = copy / "model.safetensors"
    with weights.open("r+b") as stream:
        stream.seek(weights.stat().st_size // 2)
        [byte] = stream.read(1)
        stream.seek(-1, 1)
        stream.write(bytes([byte ^ 1]))
    with pytest.raises(ModelError, match=rf"has sha256 [0-9a-f]{{64}}, expected is {SHA256}"):
        check_sha256(weights, SHA256)


def test_weights_that_nobody_vouches_for_are_not_checked(copy: Path) -> None:
    (copy / "model.safetensors").write_bytes(b"anything")
    assert not verify_weights(str(copy))


def test_a_folder_is_a_model_if_it_has_a_tokenizer(copy: Path) -> None:
    assert model_folder(str(copy)) == copy
    (copy / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"is no embedding model: it has no tokenizer\.json"):
        model_folder(str(copy))


@pytest.mark.parametrize("name", ["no-such-model", "nobody/no-such-model", "/no/such/folder", "./no-such"])
def test_a_model_that_is_nowhere_is_refused_with_the_known_names(name: str) -> None:
    with pytest.raises(ModelError, match=rf"'{name}' is neither a known name \({NAME}, "):
        model_folder(name)


@pytest.mark.parametrize(
    ("files", "window"),
    [
        ({"sentence_bert_config.json": {"max_seq_length": 128}, "config.json": {"max_position_embeddings": 512}}, 128),
        ({"tokenizer_config.json": {"model_max_length": 10**30}, "config.json": {"max_position_embeddings": 512}}, 512),
        (
            {"sentence_bert_config.json": {"max_seq_length": None}, "tokenizer_config.json": {"model_max_length": 384}},
            384,
        ),
    ],
)
def test_the_window_is_the_narrowest_statement(tmp_path: Path, files: dict[str, object], window: int) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    assert model_window(tmp_path) == window


def test_a_model_that_says_no_window_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not say how many tokens"):
        model_window(tmp_path)


def test_a_known_model_that_is_not_here_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAGKIT_MODELS", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=r"gte-small \(about 67 MB\) is not on this machine; .*models fetch gte-small"):
        model_folder("gte-small")

    def none_installed(package: str, member: str) -> None:
        del package, member

    monkeypatch.setattr("ragkit.models.resolve.installed_file", none_installed)
    with pytest.raises(
        ModelError, match=r"all-MiniLM-L6-v2 \(model.safetensors, 92 MB\) is not on this machine"
    ) as error:
        model_folder(NAME)
    for way in ("ragkit models fetch all-MiniLM-L6-v2 with network", "pip install 'ragkit[local]', which has it"):
        assert way in str(error.value)


def test_a_name_in_the_local_hub_cache_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, copy: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    repo = tmp_path / "hub" / "models--nobody--kettle"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("abc", encoding="ascii")
    (repo / "snapshots").mkdir()
    copy.rename(repo / "snapshots" / "abc")
    assert model_folder("nobody/kettle") == model_folder("hf:nobody/kettle") == repo / "snapshots" / "abc"
    assert not verify_weights("nobody/kettle")


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("bge-reranker-base", "reranking"),
        ("hf:BAAI/bge-reranker-base@v1", "reranking"),
        ("qwen2.5-coder-1.5b-instruct", "generation"),
        ("splade-tiny", "sparse search"),
    ],
)
def test_a_listed_model_of_another_task_is_refused_with_those_that_would_do(name: str, task: str) -> None:
    with pytest.raises(ModelError) as caught:
        model_folder(name)
    assert str(caught.value).startswith(f"{name} is a model for {task}, not for embedding; name one of: {NAME}, ")


def test_files_of_another_task_are_refused(copy: Path) -> None:
    (copy / "weights.gguf").touch()
    with pytest.raises(ModelError, match=r"weights\.gguf is a model for generation, not for embedding"):
        model_folder(str(copy / "weights.gguf"))
    with pytest.raises(ModelError, match=r"config\.json is a file; give the folder of a model for embedding"):
        model_folder(str(copy / "config.json"))
    settings = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**settings, "architectures": ["BertForSequenceClassification"]}))
    assert model_folder(str(copy)) == copy  # modules.json says that its token vectors are pooled
    (copy / "modules.json").unlink()
    with pytest.raises(ModelError, match="is a model for reranking, not for embedding"):
        model_folder(str(copy))
    for file in copy.glob("*.json"):
        file.unlink()
    with pytest.raises(ModelError, match="is a model for generation, not for embedding"):
        model_folder(str(copy))


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", "\xff", "[" * 100_000])
def test_settings_that_are_damaged_are_one_line(copy: Path, content: str) -> None:
    for name in ("tokenizer.json", "sentence_bert_config.json", "modules.json", "config.json"):
        kept = (copy / name).read_bytes()
        (copy / name).write_bytes(content.encode("latin-1"))
        with suppress(ModelError):  # or what it says is taken from elsewhere
            made = make_token_counter(Embedding(model=str(copy)))
            assert made.window in (256, 512)
            model_dimensions(copy)
            model_positions(copy)
        (copy / name).write_bytes(kept)


def test_a_damaged_tokenizer_and_weights_are_named(copy: Path) -> None:
    kept = (copy / "tokenizer.json").read_bytes()
    (copy / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"cannot read .*tokenizer\.json"):
        make_token_counter(Embedding(model=str(copy)))
    (copy / "tokenizer.json").write_bytes(kept)
    (copy / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(ModelError, match=r"cannot read .*model\.safetensors"):
        word_embeddings(copy)
    with pytest.raises(ModelError, match="cannot load the embedding model at"):
        make_embedder(Embedding(model=str(copy), device="cpu")).embed_question("Why?")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hf:x/../y", "write hf:org/name"),
        ("pypi:x", "write pypi:package==version"),
        ("./a\0b", "holds characters that no model reference has"),
    ],
)
def test_what_is_no_reference_is_told_without_the_list_of_names(name: str, said: str) -> None:
    with pytest.raises(ModelError) as caught:
        model_folder(name)
    assert said in str(caught.value)
    assert "known name" not in str(caught.value)
