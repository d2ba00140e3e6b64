"""Parsing in processes of their own: a file that hangs or kills its parser costs that file."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragkit.config.schema import Ingestion, Parsing
from ragkit.errors import ParseError
from ragkit.ingest.discover import Source, discover
from ragkit.ingest.parse import Parsed
from ragkit.ingest.workers import parse_sources

SAMPLES = Path(__file__).parents[2] / "eval" / "samples"


def source(path: Path) -> Source:
    return Source(path.name, str(path.parent), path, "hash")


def files(folder: Path, *names: str) -> list[Source]:
    for name in names:
        (folder / name).write_text(f"text of {name}", encoding="utf-8")
    return [source(folder / name) for name in names]


def told(path: Path, _pdf_layout: bool) -> Parsed:
    """A parser that does what the file is named after; it runs in the worker processes."""
    stem = path.stem.split("-")[0]
    if stem == "hang":
        time.sleep(600)
    elif stem == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif stem == "exit":
        os._exit(3)
    elif stem == "break":
        raise ValueError("an odd font")
    elif stem == "refuse":
        raise ParseError("is a scan")
    elif stem == "slow":
        time.sleep(0.5)
    return Parsed(f"{path.name} by {os.getpid()}", "application/x")


def test_text_formats_and_rows_are_read_in_this_process(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('\n{"id": "1", "text": "a row"}\n', encoding="utf-8")
    [row] = discover([tmp_path / "t.jsonl"], Ingestion())
    assert isinstance(row, Source)
    given = [*files(tmp_path, "a.md", "b.txt"), row]
    began = time.perf_counter()
    outcomes = list(parse_sources(given, Parsing()))
    assert [parsed.text for _, parsed in outcomes if isinstance(parsed, Parsed)] == [
        "text of a.md",
        "text of b.txt",
        "a row",
    ]
    assert [item for item, _ in outcomes] == given
    assert time.perf_counter() - began < 0.5, "no process was started"


def test_a_text_file_that_cannot_be_read_costs_itself(tmp_path: Path) -> None:
    [good] = files(tmp_path, "a.md")
    (tmp_path / "cut.txt").write_bytes(b"\xff\xfea\x00b")
    (tmp_path / "empty.txt").touch()
    given = [source(tmp_path / name) for name in ("gone.txt", "cut.txt", "empty.txt")]
    outcomes = [parsed for _, parsed in parse_sources([*given, good], Parsing())]
    assert str(outcomes[0]) == "cannot be read: No such file or directory"
    assert isinstance(outcomes[1], Parsed)
    assert str(outcomes[2]) == "is empty (0 bytes)"
    assert isinstance(outcomes[3], Parsed)


@pytest.mark.integration
class TestProcesses:
    def test_real_files_of_every_kind_come_in_order(self) -> None:
        given = [source(path) for path in sorted(SAMPLES.rglob("*")) if path.is_file() and path.suffix != ".jsonl"]
        outcomes = list(parse_sources(given, Parsing(workers=2)))
        assert [item for item, _ in outcomes] == given
        assert all(isinstance(parsed, Parsed) for _, parsed in outcomes)

    def test_they_run_beside_this_one(self, tmp_path: Path) -> None:
        outcomes = parse_sources(files(tmp_path, "a.x", "b.x", "c.x"), Parsing(workers=2), told)
        texts = [parsed.text for _, parsed in outcomes if isinstance(parsed, Parsed)]
        assert [text.split()[0] for text in texts] == ["a.x", "b.x", "c.x"]
        assert str(os.getpid()) not in {text.split()[-1] for text in texts}

    def test_slow_ones_do_not_change_the_order(self, tmp_path: Path) -> None:
        given = files(tmp_path, "slow-1.x", "a.x", "b.md", "slow-2.x", "c.x", "d.md")
        assert [item for item, _ in parse_sources(given, Parsing(workers=2), told)] == given

    def test_one_that_hangs_is_given_up_after_its_time(self, tmp_path: Path) -> None:
        given = files(tmp_path, "a.x", "hang.x", "b.x", "c.x")
        outcomes = dict(parse_sources(given, Parsing(workers=1, timeout_s=1.0), told))
        assert str(outcomes[given[1]]) == "took longer than 1 s to parse (ingestion.parsing.timeout_s)"
        assert [isinstance(outcomes[given[index]], Parsed) for index in (0, 2, 3)] == [True, True, True]

    @pytest.mark.parametrize(("name", "code"), [("die.x", "-9"), ("exit.x", "3")])
    def test_one_that_ends_its_process_is_named_with_the_exit_code(self, tmp_path: Path, name: str, code: str) -> None:
        given = files(tmp_path, "a.x", name, "b.x")
        outcomes = dict(parse_sources(given, Parsing(workers=1), told))
        assert str(outcomes[given[1]]) == f"ended its parser process (exit code {code})"
        assert isinstance(outcomes[given[0]], Parsed)
        assert isinstance(outcomes[given[2]], Parsed)

    def test_one_that_finds_a_defect_names_it(self, tmp_path: Path) -> None:
        given = files(tmp_path, "break.x", "refuse.x", "a.x")
        outcomes = [parsed for _, parsed in parse_sources(given, Parsing(workers=1), told)]
        assert str(outcomes[0]) == "broke the parser: ValueError: an odd font"
        assert str(outcomes[1]) == "is a scan"
        assert isinstance(outcomes[2], Parsed)

    def test_a_long_list_is_read_little_by_little(self, tmp_path: Path) -> None:
        taken = 0

        def endless() -> Iterator[Source]:
            nonlocal taken
            given = files(tmp_path, "a.x", "b.md")
            while True:
                taken += 1
                yield given[taken % 2]

        outcomes = parse_sources(endless(), Parsing(workers=2), told)
        for got in range(1, 60):
            next(outcomes)
            assert taken - got <= 2 * 4 + 1, "four waiting for each worker"
        outcomes.close()  # pyright: ignore[reportAttributeAccessIssue] - a generator

    def test_giving_up_ends_the_processes(self, tmp_path: Path) -> None:
        outcomes = parse_sources(files(tmp_path, "a.x", "hang-1.x", "hang-2.x"), Parsing(workers=2), told)
        _, parsed = next(outcomes)
        assert isinstance(parsed, Parsed)
        worker = int(parsed.text.split()[-1])
        outcomes.close()  # pyright: ignore[reportAttributeAccessIssue] - a generator
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


def test_a_row_of_a_file_that_changed_meanwhile_is_a_failure(tmp_path: Path) -> None:
    rows = tmp_path / "t.jsonl"
    rows.write_text('{"id": "1", "text": "old"}\n{"id": "2", "text": "kept"}\n', encoding="utf-8")
    found = [item for item in discover([rows], Ingestion()) if isinstance(item, Source)]
    rows.write_text('{"id": "1", "text": "new"}\n{"id": "2", "text": "kept"}\n', encoding="utf-8")
    changed, same = (parsed for _, parsed in parse_sources(found, Parsing()))
    assert isinstance(changed, ParseError)
    assert "was changed while it was read" in str(changed)
    assert isinstance(same, Parsed)
    assert same.text == "kept"
