"""Where a model is found, what it reads, and that its bytes are the publisher's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ragkit.embed.models import model_folder, model_window, verify_weights
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
