from __future__ import annotations

import json
from pathlib import Path

import pytest

from ragkit.errors import ConfigError
from ragkit.evaluate.cases import Case, Evidence
from ragkit.evaluate.split import split_cases, write_split
from ragkit.evaluate.suite import AskedPart, load_suite

ROOT = Path(__file__).parents[2]


def suite(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    for name in ("one", "two"):
        (tmp_path / f"{name}.jsonl").write_text('{"id": "a", "question": "x?"}\n', encoding="utf-8")
    return path


def test_paths_are_relative_to_the_suite(tmp_path: Path) -> None:
    path = suite(tmp_path, "name: s\ncorpus: [docs]\ndata:\n  - {path: one.jsonl}\n")
    loaded = load_suite(path, tmp_path)
    assert loaded.corpus == (tmp_path / "docs",)
    assert [case.id for case in loaded.cases] == ["a"]


def test_segments_and_budget_are_read_and_a_misspelt_segment_is_told(tmp_path: Path) -> None:
    text = "name: s\ndata:\n  - {path: one.jsonl}\nsegments: [%s]\nbudget: {max_usd: 2.5, max_questions: 9}\n"
    path = suite(tmp_path, text % "easy")
    rows = '{"id": "a", "question": "x?", "segment": "easy"}\n{"id": "b", "question": "y?", "segment": "hard"}\n'
    (tmp_path / "one.jsonl").write_text(rows, encoding="utf-8")
    loaded = load_suite(path, tmp_path).suite
    assert (loaded.segments, loaded.budget.max_usd, loaded.budget.max_questions) == (["easy"], 2.5, 9)
    path.write_text(text % "eazy", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"no question has the segment 'eazy'; there are easy, hard"):
        load_suite(path, tmp_path)


def test_questions_of_several_sets_are_told_apart(tmp_path: Path) -> None:
    path = suite(tmp_path, "name: s\ndata:\n  - {path: one.jsonl, part: tuning}\n  - {path: two.jsonl}\n")
    loaded = load_suite(path, tmp_path)
    assert [case.id for case in loaded.cases] == ["one/a", "two/a"]
    assert loaded.tuning == {"one/a"}


def test_files_of_one_name_are_told_apart_by_their_path(tmp_path: Path) -> None:
    path = suite(tmp_path, "name: s\ndata:\n  - {path: de/q.jsonl}\n  - {path: en/q.jsonl}\n")
    for folder in ("de", "en"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "q.jsonl").write_text('{"id": "a", "question": "x?"}\n', encoding="utf-8")
    assert [case.id for case in load_suite(path, tmp_path).cases] == ["de/q.jsonl:test/a", "en/q.jsonl:test/a"]
    twice = suite(tmp_path, "name: s\ndata:\n  - {path: de/q.jsonl}\n  - {path: de/q.jsonl}\n")
    with pytest.raises(ConfigError, match="named twice"):
        load_suite(twice, tmp_path)


def test_documents_of_sets_of_one_name_lie_apart_and_in_the_folder(tmp_path: Path) -> None:
    for folder in ("de", "en"):
        (tmp_path / folder).mkdir()
        paragraph = {"context": f"It is {folder}.", "qas": [{"id": "a", "question": "What is it?"}]}
        (tmp_path / folder / "set.json").write_text(json.dumps({"data": [{"paragraphs": [paragraph]}]}))
    (tmp_path / "suites").mkdir()
    path = suite(tmp_path / "suites", "name: s\ndata:\n  - {path: ../de/set.json}\n  - {path: ../en/set.json}\n")
    corpus = load_suite(path, tmp_path / "scratch").corpus
    assert [file.parent for file in corpus] == [tmp_path / "scratch"] * 2
    assert [json.loads(file.read_text())["text"] for file in corpus] == ["It is de.", "It is en."]


def test_only_one_part_is_asked(tmp_path: Path) -> None:
    path = suite(tmp_path, "name: s\ndata:\n  - {path: one.jsonl, part: tuning}\n  - {path: two.jsonl}\n")
    loaded = load_suite(path, tmp_path)
    wanted: dict[AskedPart, list[str]] = {"test": ["two/a"], "tuning": ["one/a"], "all": ["one/a", "two/a"]}
    for part, ids in wanted.items():
        assert [case.id for case in loaded.only(part).cases] == ids
    tuning_only = load_suite(suite(tmp_path, "name: s\ndata:\n  - {path: one.jsonl, part: tuning}\n"), tmp_path)
    with pytest.raises(ConfigError, match="no question for test"):
        tuning_only.only("test")


def test_a_split_is_used_as_it_was_written(tmp_path: Path) -> None:
    cases = [Case(id=str(n), question="?", evidence=(Evidence(document=f"{n}.md"),)) for n in range(6)]
    write_split(*split_cases(cases), tmp_path)
    text = "name: s\ndata:\n  - {path: tuning.jsonl, part: tuning}\n  - {path: test.jsonl}\n"
    loaded = load_suite(suite(tmp_path, text), tmp_path)
    assert len(loaded.cases) == 6
    with pytest.raises(ConfigError, match="is the tuning part of a split"):
        load_suite(suite(tmp_path, "name: s\ndata:\n  - {path: tuning.jsonl}\n"), tmp_path)
    renamed = tmp_path / "mine.jsonl"
    renamed.write_bytes((tmp_path / "test.jsonl").read_bytes())
    with pytest.raises(ConfigError, match="is the test part of a split"):
        load_suite(suite(tmp_path, "name: s\ndata:\n  - {path: mine.jsonl, part: tuning}\n"), tmp_path)
    changed = tmp_path / "test.jsonl"
    changed.write_text(changed.read_text() + (tmp_path / "tuning.jsonl").read_text())
    with pytest.raises(ConfigError, match="not as ragkit eval split wrote it"):
        load_suite(suite(tmp_path, text), tmp_path)


def test_the_data_hash_changes_with_questions_and_labels(tmp_path: Path) -> None:
    path = suite(tmp_path, "name: s\ndata:\n  - {path: one.jsonl}\n")
    before = load_suite(path, tmp_path).data_hash
    assert load_suite(path, tmp_path).data_hash == before
    (tmp_path / "one.jsonl").write_text('{"id": "a", "question": "x?", "answers": ["y"]}\n')
    assert load_suite(path, tmp_path).data_hash != before


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("name: s\ndta: []\n", 2, "unknown key dta; did you mean data?"),
        ("name: s\ndata:\n  - {path: one.jsonl, prt: test}\n", 3, "unknown key data.0.prt; did you mean part?"),
        ("name: s\ndata:\n  - {path: one.jsonl, format: xml}\n", 3, "data.0.format: input should be"),
        ("name: a b\ndata:\n  - {path: one.jsonl}\n", 1, "name: string should match pattern"),
        ("name: s\ndata: []\n", 2, "data: list should have at least 1 item"),
        ("name: s\ndata:\n  - {path: one.jsonl}\ngates:\n  - {metric: f1}\n", 5, "either at_least or at_most"),
    ],
)
def test_a_wrong_key_is_named_by_file_and_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = suite(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        load_suite(path, tmp_path)
    assert f"{path}:{line}: " in str(error.value)
    assert said in str(error.value)


def test_a_file_of_an_unknown_kind_needs_a_format(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="what format is this"):
        load_suite(suite(tmp_path, "name: s\ndata:\n  - {path: one.txt}\n"), tmp_path)


@pytest.mark.parametrize("path", sorted((ROOT / "eval" / "suites").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_suite_of_the_project_loads(path: Path, tmp_path: Path) -> None:
    loaded = load_suite(path, tmp_path)
    assert loaded.cases
    for data in loaded.suite.data:
        assert data.card is not None
        assert (path.parent / data.card).is_file()
