"""`ragkit keys`: made once shown, listed without their texts, taken back."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from ragkit.cli.main import main
from ragkit.serve.database import Database
from ragkit.serve.keys import Keys


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def ran(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(["keys", *arguments]) == code
    printed = capsys.readouterr()
    return printed.out, printed.err


def test_a_key_is_printed_alone_so_that_a_script_can_take_it(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = ran(capsys, "create", "website", "--tenant", "acme", "--role", "write")
    assert "website has role write and sees documents of tenant acme" in err
    with closing(Database(Path(".ragkit/serve"))) as database:
        found = Keys(database).find(out.strip())
    assert found is not None
    assert (found.name, found.tenant, found.role) == ("website", "acme", "write")


def test_a_key_without_a_tenant_is_said_to_see_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert "sees every document (--tenant confines it)" in ran(capsys, "create", "admin", "--role", "admin")[1]


def test_keys_are_listed_without_their_texts_and_can_be_revoked(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no key was made" in ran(capsys, "list")[0]
    made = json.loads(ran(capsys, "create", "app", "--requests-per-minute", "5", "--json")[0])
    assert ran(capsys, "revoke", "app")[0].strip() == "revoked app"
    text, _ = ran(capsys, "list")
    assert "app" in text
    listed, _ = ran(capsys, "list", "--json")
    [key] = json.loads(listed)["keys"]
    assert (key["name"], key["requests_per_minute"], key["revoked"] is not None) == ("app", 5, True)
    assert made["key"].split("_", 2)[2] not in text + listed


def test_what_is_wrong_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no name of a tenant" in ran(capsys, "create", "a", "--tenant", "../b", code=2)[1]
    assert "no key named 'none'" in ran(capsys, "revoke", "none", code=2)[1]


def test_the_folder_of_the_config_holds_them(capsys: pytest.CaptureFixture[str]) -> None:
    ran(capsys, "create", "a", "--set", "serve.folder=elsewhere")
    assert Path("elsewhere/serve.sqlite").exists()
    assert (Path("elsewhere").stat().st_mode & 0o077) == 0, "for nobody else on this machine"
