"""The wheel: what is in it, and that it runs outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    [built] = folder.glob("ragkit-*.whl")
    return built


@pytest.mark.integration
def test_the_wheel_holds_the_package_its_types_and_its_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "ragkit/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "eval/", "scripts/"))]
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "ragkit").rglob("*.py")}
    assert modules <= set(names)
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "ragkit/serve/pages").iterdir()}
    assert pages <= set(names)


@pytest.mark.integration
def test_the_wheel_runs_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# Kettle\n\nThe kettle holds two litres of water.\n")
    environment = {**os.environ, "PYTHONPATH": str(target)}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-P", "-m", "ragkit.cli.main", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    where = subprocess.run(
        [sys.executable, "-P", "-c", "import ragkit; print(ragkit.__file__)"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(target))
    run("init")
    run("index", "docs")
    assert "two litres" in run("ask", "How much water does the kettle hold?")


def test_the_extras_that_the_documents_promise_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    promised = {"local", "vllm", "ragas", "qdrant", "openai", "serve", "observe", "mcp", "llama-cpp", "onnx", "dev"}
    assert promised <= project["optional-dependencies"].keys()
    assert project["scripts"] == {"ragkit": "ragkit.cli.main:main"}
