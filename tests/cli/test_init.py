"""`ragkit init` writes a file that loads, and never overwrites one unasked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ragkit.cli.main import main
from ragkit.config import config_schema, load_config
from ragkit.config.schema import Config


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_writes_a_config_that_is_found_and_says_what_to_type_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["init"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "wrote ragkit.yaml",
        "next:  ragkit index FOLDER",
        "       ragkit ask 'QUESTION'",
    ]
    loaded = load_config(None)
    assert loaded.files == (Path("ragkit.yaml"),)
    assert loaded.config == Config(), "so an index made without the file stays good"


def test_the_schema_lies_where_the_first_line_says(folder: Path) -> None:
    assert main(["init"]) == 0
    named = Path("ragkit.yaml").read_text(encoding="utf-8").splitlines()[0].partition("$schema=")[2]
    assert json.loads((folder / named).read_text(encoding="utf-8")) == config_schema()


@pytest.mark.parametrize(("path", "file"), [("new/place", "new/place/ragkit.yaml"), ("sub/my.yml", "sub/my.yml")])
def test_a_folder_or_a_file_can_be_named(path: str, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"] == file
    load_config(Path(file))
    assert main(["init", path, "--force"]) == 0
    assert f"ragkit index FOLDER --config {file}" in capsys.readouterr().out


def test_an_existing_file_is_kept_unless_forced(capsys: pytest.CaptureFixture[str]) -> None:
    mine = Path("ragkit.yaml")
    mine.write_text("retrieval: {top_k: 3}", encoding="utf-8")
    assert main(["init"]) == 2
    assert capsys.readouterr().err == "error: ragkit.yaml exists; nothing was changed; --force overwrites it\n"
    assert [entry.name for entry in Path().iterdir()] == ["ragkit.yaml"]
    assert mine.read_text(encoding="utf-8") == "retrieval: {top_k: 3}"
    assert main(["init", "--force"]) == 0
    assert load_config(None).config.retrieval.top_k == 10


def test_a_place_that_cannot_be_written_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("", encoding="utf-8")
    assert main(["init", "file/sub"]) == 2
    assert capsys.readouterr().err.startswith("error: cannot write ")
