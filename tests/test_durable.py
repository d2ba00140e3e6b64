"""Files that are whole or not there; and private ones, whatever the umask and whatever a kill left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ragkit.durable import write_whole


@pytest.mark.parametrize(("private", "mode"), [(True, 0o600), (False, 0o644)])
def test_a_private_file_is_for_its_owner_alone(tmp_path: Path, private: bool, mode: int) -> None:
    file = tmp_path / "state.json"
    file.write_text("old")
    file.chmod(0o644)
    if private:
        left = tmp_path / "state.json.part"
        left.write_text("half of something longer")
        left.chmod(0o644)
    before = os.umask(0o022)
    try:
        write_whole(file, "{}", private=private)
    finally:
        os.umask(before)
    assert file.read_text() == "{}"
    assert file.stat().st_mode & 0o777 == mode
    assert list(tmp_path.iterdir()) == [file]
