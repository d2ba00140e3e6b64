"""The command line as a process: help, errors, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer

from ragkit.cli.main import COMMANDS, main
from ragkit.errors import RagkitError


def python(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    # The tree under test is found from any folder, installed or not.
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environ, timeout=60, check=False)


def ragkit(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return python("-m", "ragkit.cli.main", *args, cwd=cwd)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A stand-in for `ragkit search`; tests give it a function."""
    module = ModuleType("ragkit.cli.search")
    monkeypatch.setitem(sys.modules, "ragkit.cli.search", module)
    return module


def test_help_lists_every_command(tmp_path: Path) -> None:
    done = ragkit("--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for name, text in COMMANDS.items():
        assert f"{name} " in done.stdout
        assert text in done.stdout


def test_help_imports_neither_pydantic_nor_rich_nor_a_command(tmp_path: Path) -> None:
    # What makes help slow is what it imports; counting that is steadier than a clock.
    code = (
        "import sys; from ragkit.cli.main import main; main(['--help']); "
        "print([m for m in sys.modules if m.split('.')[0] in ('pydantic', 'rich', 'yaml', 'numpy', 'torch') "
        "or m in ('ragkit.cli.config', 'ragkit.cli.init', 'ragkit.cli.search')], file=sys.stderr)"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.stderr.strip() == "[]"


def test_without_arguments_help_is_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ragkit"])
    assert main() == 0
    assert "Usage: ragkit" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ragkit ")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["serach"], "error: no such command 'serach'; did you mean 'search'?"),
        (["config", "shwo"], "error: no such command 'shwo'; did you mean 'show'?"),
        (["config"], "error: missing command; see: ragkit config --help"),
        (["--foo"], "error: no such option: --foo; see: ragkit --help"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == 2
    assert capsys.readouterr() == ("", message + "\n")


def test_an_error_is_one_line_on_stderr_and_with_json_an_object_on_stdout(tmp_path: Path) -> None:
    done = ragkit("config", "check", "--config", "no.yaml", "--json", cwd=tmp_path)
    message = "there is no config file no.yaml; run: ragkit init no.yaml"
    assert done.returncode == 2
    assert done.stderr == f"error: {message}\n"
    assert json.loads(done.stdout) == {"error": message}


def test_the_function_of_a_module_is_the_command(command: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    def search(question: str, top_k: int = 3) -> None:
        print(question, top_k)

    command.__dict__["search"] = search
    assert main(["search", "why?", "--top-k", "5"]) == 0
    assert capsys.readouterr().out == "why? 5\n"


def test_a_group_is_a_typer_app_called_app(command: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    command.__dict__["app"] = group = typer.Typer()

    @group.command()
    def retrieval() -> None:  # pyright: ignore[reportUnusedFunction]
        print("measured")

    @group.callback()
    def whole() -> None:  # pyright: ignore[reportUnusedFunction]
        pass

    assert main(["search", "retrieval"]) == 0
    assert capsys.readouterr().out == "measured\n"


def test_exit_codes_follow_the_way_a_command_ends(command: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    def ends_with(error: BaseException) -> int:
        def search() -> None:
            raise error

        command.__dict__["search"] = search
        return main(["search"])

    assert ends_with(typer.Exit(1)) == 1
    assert ends_with(RagkitError("no index", mend="run: ragkit index")) == 2
    assert capsys.readouterr().err == "error: no index; run: ragkit index\n"
    assert ends_with(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "stopped\n"
    with pytest.raises(ZeroDivisionError):  # a defect is not dressed up
        ends_with(ZeroDivisionError())
