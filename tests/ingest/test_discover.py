"""What is found under the given paths, under which names, and what is left out."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ragkit.config.schema import Ingestion, Parsing
from ragkit.errors import RagkitError
from ragkit.ingest.area import Area, root_of
from ragkit.ingest.discover import LeftOut, Rejected, Source, discover, read_row


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text of {name}", encoding="utf-8")
    return root


def found(*paths: str | Path, ingestion: Ingestion | None = None, taken: dict[str, str] | None = None) -> list[str]:
    items = discover(paths, ingestion or Ingestion(), taken)
    return [item.name for item in items if not isinstance(item, LeftOut)]


def rows(path: Path, lines: Iterable[str | dict[str, Any]]) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return path


class TestFolders:
    def test_files_are_named_by_their_path_in_the_folder_and_come_in_a_fixed_order(self, tmp_path: Path) -> None:
        tree(tmp_path, "b.md", "a.md", "z/c.md", "m/n/d.md")
        assert found(tmp_path) == ["a.md", "b.md", "m/n/d.md", "z/c.md"]

    def test_a_source_knows_its_root_its_path_and_the_hash_of_its_bytes(self, tmp_path: Path) -> None:
        tree(tmp_path, "m/a.md", "m/same.md", "m/other.md")
        (tmp_path / "m" / "same.md").write_bytes((tmp_path / "m" / "a.md").read_bytes())
        sources = {item.name: item for item in discover([tmp_path], Ingestion()) if isinstance(item, Source)}
        assert sources["m/a.md"].root == str(tmp_path)
        assert sources["m/a.md"].path == tmp_path / "m" / "a.md"
        assert sources["m/a.md"].content_hash == sources["m/same.md"].content_hash
        assert sources["m/a.md"].content_hash != sources["m/other.md"].content_hash

    def test_hidden_files_and_folders_are_left_out(self, tmp_path: Path) -> None:
        assert found(tree(tmp_path, "a.md", ".hidden.md", ".folder/b.md", "c/.d/e.md")) == ["a.md"]

    @pytest.mark.parametrize(
        ("patterns", "left"),
        [
            (["*.log"], ["a.md", "drafts/b.md", "drafts/keep.md", "x/drafts.md"]),
            (["drafts/"], ["a.md", "c.log", "x/drafts.md"]),
            (["/a.md", "**/b.md"], ["c.log", "drafts/keep.md", "x/drafts.md"]),
            (["drafts/*", "!drafts/keep.md"], ["a.md", "c.log", "drafts/keep.md", "x/drafts.md"]),
            (["*"], []),
            ([], ["a.md", "c.log", "drafts/b.md", "drafts/keep.md", "x/drafts.md"]),
        ],
    )
    def test_exclude_reads_as_gitignore_does(self, tmp_path: Path, patterns: list[str], left: list[str]) -> None:
        tree(tmp_path, "a.md", "c.log", "drafts/b.md", "drafts/keep.md", "x/drafts.md")
        assert found(tmp_path, ingestion=Ingestion(exclude=patterns)) == left

    def test_what_nobody_wants_is_excluded_from_the_start(self, tmp_path: Path) -> None:
        assert found(tree(tmp_path, "a.md", "node_modules/b.md", "x/__pycache__/c.txt")) == ["a.md"]

    def test_an_empty_folder_has_nothing(self, tmp_path: Path) -> None:
        assert found(tmp_path) == []


class TestLinks:
    def test_they_are_followed_only_on_request(self, tmp_path: Path) -> None:
        tree(tmp_path, "docs/a.md", "elsewhere/b.md", "c.md")
        (tmp_path / "docs" / "folder").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "docs" / "file.md").symlink_to(tmp_path / "c.md")
        assert found(tmp_path / "docs") == ["a.md"]
        links = [item for item in discover([tmp_path / "docs"], Ingestion()) if isinstance(item, LeftOut)]
        assert [(item.path.name, item.kind) for item in links] == [("file.md", "link"), ("folder", "link")]
        follow = Ingestion(follow_symlinks=True)
        assert found(tmp_path / "docs", ingestion=follow) == ["a.md", "file.md", "folder/b.md"]

    @pytest.mark.timeout(20)
    def test_loops_end_and_bring_each_file_once(self, tmp_path: Path) -> None:
        tree(tmp_path, "docs/a.md", "docs/sub/b.md")
        (tmp_path / "docs" / "sub" / "up").symlink_to(tmp_path / "docs")
        (tmp_path / "docs" / "self").symlink_to(tmp_path / "docs" / "self")
        assert found(tmp_path / "docs", ingestion=Ingestion(follow_symlinks=True)) == ["a.md", "sub/b.md"]

    def test_a_link_to_nothing_is_left_out(self, tmp_path: Path) -> None:
        tree(tmp_path, "a.md")
        (tmp_path / "b.md").symlink_to(tmp_path / "missing.md")
        assert found(tmp_path, ingestion=Ingestion(follow_symlinks=True)) == ["a.md"]

    def test_a_pipe_is_no_file(self, tmp_path: Path) -> None:
        tree(tmp_path, "a.md")
        os.mkfifo(tmp_path / "pipe.md")
        assert found(tmp_path) == ["a.md"]
        assert LeftOut(tmp_path / "pipe.md", "special file") in [*discover([tmp_path], Ingestion())]


def refuse_to_list(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """What the system does with folders that may not be read; the super-user, whom tests may run as, may read all."""
    scandir = os.scandir

    def listed(path: Path) -> Any:
        if Path(path) in folders:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", listed)


class TestWithoutPermission:
    @pytest.mark.parametrize("pattern", ["", "/**/*.md"])
    def test_a_folder_that_cannot_be_listed_is_named(
        self, tmp_path: Path, pattern: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tree(tmp_path, "a.md", "sub/b.md")
        refuse_to_list(monkeypatch, tmp_path / "sub")
        first, second = discover([f"{tmp_path}{pattern}"], Ingestion())
        bad, good = (first, second) if isinstance(first, Rejected) else (second, first)
        assert isinstance(bad, Rejected)
        assert (bad.name, bad.reason, bad.keeps) == (
            "sub",
            "cannot be read: Permission denied",
            str(tmp_path / "sub"),
        )
        assert isinstance(good, Source)
        assert good.name == "a.md"

    def test_so_is_the_folder_that_was_asked_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tree(tmp_path, "docs/a.md")
        refuse_to_list(monkeypatch, tmp_path / "docs")
        [bad] = discover([tmp_path / "docs"], Ingestion())
        assert isinstance(bad, Rejected)
        assert (bad.name, bad.reason) == ("docs", "cannot be read: Permission denied")

    def test_a_folder_that_may_be_listed_and_not_entered_costs_its_files(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tree(tmp_path, "a.md")
        refuse_to_look(monkeypatch, tmp_path / "a.md")
        [bad] = discover([tmp_path], Ingestion())
        assert isinstance(bad, Rejected)
        assert (bad.name, bad.reason) == ("a.md", "cannot be read: Permission denied")

    def test_a_file_that_cannot_be_reached_is_an_error_with_a_mend(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tree(tmp_path, "locked/x.md")
        refuse_to_look(monkeypatch, tmp_path / "locked" / "x.md")
        gist = r"x\.md' cannot be reached: Permission denied; let the user that runs ragkit enter the folders above it"
        with pytest.raises(RagkitError, match=gist):
            found(tmp_path / "locked" / "x.md")


def refuse_to_look(monkeypatch: pytest.MonkeyPatch, *files: Path) -> None:
    """What the system does with files in folders that may not be entered."""
    looks: dict[str, Any] = {"stat": os.stat, "lstat": os.lstat}

    def refusing(name: str) -> Any:
        def look(path: Any, *args: Any, **options: Any) -> Any:
            if not isinstance(path, int) and Path(path) in files:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return looks[name](path, *args, **options)

        return look

    for name in looks:
        monkeypatch.setattr(os, name, refusing(name))


class TestGlobs:
    @pytest.mark.timeout(20)
    @pytest.mark.parametrize("follow", [False, True])
    def test_loops_of_links_end(self, tmp_path: Path, follow: bool) -> None:
        tree(tmp_path, "a.md", "sub/b.md")
        for link in ("l1", "l2", "sub/l3"):
            (tmp_path / link).symlink_to(tmp_path)
        assert found(f"{tmp_path}/**/*.md", ingestion=Ingestion(follow_symlinks=follow)) == ["a.md", "sub/b.md"]

    def test_they_leave_out_what_a_folder_does(self, tmp_path: Path) -> None:
        tree(tmp_path, "a.md", "sub/node_modules/b.md", "sub/.h/c.md", ".d.md", "e/f.md", "elsewhere.txt")
        (tmp_path / "link.md").symlink_to(tmp_path / "elsewhere.txt")
        pattern = f"{tmp_path}/**/*.md"
        assert found(pattern) == ["a.md", "e/f.md"]
        assert found(pattern, ingestion=Ingestion(follow_symlinks=True)) == ["a.md", "link.md", "e/f.md"]
        assert found(pattern, ingestion=Ingestion(exclude=["/e/"])) == ["a.md", "sub/node_modules/b.md"]
        assert found(f"{tmp_path}/.*.md") == [".d.md"], "asked for by its dot"

    @pytest.mark.parametrize(
        ("pattern", "names"),
        [
            ("*", ["a.md", "b.txt"]),
            ("*/*", ["x/c.md"]),
            ("**", ["a.md", "b.txt", "x/c.md", "x/y/d.md"]),
            ("**/y/*", ["x/y/d.md"]),
            ("x/**/d.md", ["y/d.md"]),
            ("?.m[d]", ["a.md"]),
            ("[!a]*", ["b.txt"]),
            ("**/**/*.md", ["a.md", "x/c.md", "x/y/d.md"]),
        ],
    )
    def test_they_read_as_a_shell_reads_them(self, tmp_path: Path, pattern: str, names: list[str]) -> None:
        tree(tmp_path, "a.md", "b.txt", "x/c.md", "x/y/d.md")
        assert found(f"{tmp_path}/{pattern}") == names

    def test_a_folder_that_cannot_match_is_not_walked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tree(tmp_path, "a.md", "huge/b.md")
        refuse_to_list(monkeypatch, tmp_path / "huge")
        assert found(f"{tmp_path}/*.md") == ["a.md"]

    def test_a_working_folder_named_like_a_pattern_is_none(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tree(tmp_path, "a[1]/b.md") / "a[1]")
        assert found("*.md") == ["b.md"]


class TestOneDocumentPerFile:
    def places(self, *paths: Path | str, taken: dict[str, str] | None = None) -> dict[str, str]:
        items = discover(paths, Ingestion(), taken)
        return {item.name: Path(item.root).name for item in items if isinstance(item, Source)}

    def test_what_lies_in_a_folder_that_is_asked_for_too_is_a_part_of_it(self, tmp_path: Path) -> None:
        docs = tree(tmp_path / "docs", "a.md", "sub/b.md", "sub/x/c.md")
        all_of_it = {"a.md": "docs", "sub/b.md": "docs", "sub/x/c.md": "docs"}
        for part in (docs / "sub", docs / "sub" / "b.md", f"{docs}/sub/**/*.md"):
            assert self.places(docs, part) == self.places(part, docs) == all_of_it

    def test_so_is_what_lies_in_a_folder_that_the_index_knows(self, tmp_path: Path) -> None:
        docs = tree(tmp_path / "docs", "a.md", "sub/b.md", "sub/x/c.md", "sub/node_modules/d.md")
        taken = {"a.md": str(docs)}
        assert self.places(docs / "sub", taken=taken) == {"sub/b.md": "docs", "sub/x/c.md": "docs"}
        assert self.places(docs / "sub" / "b.md", taken=taken) == {"sub/b.md": "docs"}
        assert self.places(f"{docs}/*/*.md", taken=taken) == {"sub/b.md": "docs"}
        exclude = Ingestion(exclude=["/sub/x/"])
        assert found(docs / "sub", ingestion=exclude, taken=taken) == ["sub/b.md", "sub/node_modules/d.md"]

    def test_a_wider_folder_takes_over_the_files_of_narrower_ones(self, tmp_path: Path) -> None:
        docs = tree(tmp_path / "docs", "b.md", "sub/b.md", "x/c.md")
        taken = {"b.md": str(docs / "sub"), "c.md": str(docs / "x" / "c.md")}
        assert self.places(docs, taken=taken) == {"b.md": "docs", "sub/b.md": "docs", "x/c.md": "docs"}

    def test_a_file_stays_with_the_pattern_that_found_it_first(self, tmp_path: Path) -> None:
        docs = tree(tmp_path / "docs", "ab.md", "c.md")
        taken = {"ab.md": f"{docs}/*.md"}
        assert self.places(f"{docs}/a*", docs / "c.md", taken=taken) == {"ab.md": "*.md", "c.md": "c.md"}

    def test_a_hidden_or_excluded_folder_is_a_root_of_its_own(self, tmp_path: Path) -> None:
        docs = tree(tmp_path / "docs", "a.md", ".notes/b.md", "node_modules/x/c.md")
        parts = {"b.md": ".notes", "c.md": "x"}
        assert self.places(docs, docs / ".notes", docs / "node_modules" / "x") == {"a.md": "docs"} | parts
        taken = {"b.md": str(docs / ".notes")}
        area = Area([docs], Ingestion(), taken)
        assert not area.covers("b.md", str(docs / ".notes")), "a walk of the folder says nothing of it"
        assert area.covers(".notes/b.md", str(docs)), "once found in it and hidden since"

    def test_two_files_of_one_root_never_share_a_name(self, tmp_path: Path) -> None:
        one, two = tree(tmp_path / "one", "a.md"), tree(tmp_path / "two", "a.md", "two/a.md")
        assert len(set(found(one, two))) == 3

    def test_a_part_covers_what_lies_in_it(self, tmp_path: Path) -> None:
        docs = tree(tmp_path / "docs", "a.md", "sub/b.md")
        taken = {"a.md": str(docs), "sub/gone.md": str(docs), "sub/t.jsonl#1": str(docs), "subway.md": str(docs)}
        for part in (docs / "sub", f"{docs}/sub/*"):
            area = Area([part], Ingestion(), taken)
            assert [name for name in taken if area.covers(name, str(docs))] == ["sub/gone.md", "sub/t.jsonl#1"]
        unmounted = Area([tmp_path], Ingestion(), {"x.md": str(tmp_path / "away"), "a.md": str(docs)})
        assert not unmounted.covers("x.md", str(tmp_path / "away"))
        assert unmounted.covers("a.md", str(docs))


class TestRoots:
    def test_a_file_is_named_by_itself(self, tmp_path: Path) -> None:
        tree(tmp_path, "m/a.md")
        assert found(tmp_path / "m" / "a.md") == ["a.md"]
        assert root_of(tmp_path / "m" / "a.md") == str(tmp_path / "m" / "a.md")

    def test_a_path_given_twice_counts_once(self, tmp_path: Path) -> None:
        tree(tmp_path, "m/a.md", "b.md")
        assert found(tmp_path, tmp_path / "m", tmp_path) == ["b.md", "m/a.md"]

    def test_two_roots_with_files_of_one_name_are_told_apart(self, tmp_path: Path) -> None:
        tree(tmp_path, "one/a.md", "two/a.md", "two/b.md", "x/two/a.md")
        assert found(tmp_path / "one", tmp_path / "two") == ["a.md", "two/a.md", "b.md"]
        last = found(tmp_path / "one", tmp_path / "two", tmp_path / "x" / "two")[-1]
        assert last == (tmp_path / "x" / "two" / "a.md").as_posix()

    def test_names_that_the_index_holds_already_stay_with_their_root(self, tmp_path: Path) -> None:
        tree(tmp_path, "one/a.md", "two/a.md", "two/b#1.md")
        taken = {"a.md": str(tmp_path / "one"), "b#1.md": str(tmp_path / "one")}
        assert found(tmp_path / "two", taken=taken) == ["two/a.md", "two/b#1.md"]
        assert found(tmp_path / "one", taken=taken) == ["a.md"]

    def test_rows_of_files_of_one_name_are_told_apart(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            rows(tmp_path / name / "t.jsonl", [{"id": "1", "text": "x"}])
        taken = {"t.jsonl#1": str(tmp_path / "one")}
        assert found(tmp_path / "one", tmp_path / "two") == ["t.jsonl#1", "two/t.jsonl#1"]
        assert found(tmp_path / "two", taken=taken) == ["two/t.jsonl#1"]

    def test_globs(self, tmp_path: Path) -> None:
        tree(tmp_path, "a.md", "b.txt", "x/c.md", "x/y/d.md")
        assert found(f"{tmp_path}/*.md") == ["a.md"]
        assert found(f"{tmp_path}/**/*.md") == ["a.md", "x/c.md", "x/y/d.md"]
        assert found(f"{tmp_path}/x/**") == ["c.md", "y/d.md"]

    def test_a_file_whose_name_looks_like_a_glob_is_taken_by_its_name(self, tmp_path: Path) -> None:
        tree(tmp_path, "a[1].md", "a1.md")
        assert found(f"{tmp_path}/a[1].md") == ["a[1].md"]

    def test_a_glob_without_matches_and_a_missing_path_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(RagkitError, match=r"no file matches '.*\*\.pdf'"):
            found(f"{tmp_path}/*.pdf")
        with pytest.raises(RagkitError, match=r"there is no '.*missing'; the working directory is /"):
            found(tmp_path / "missing")

    def test_a_tilde_is_the_home_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        tree(tmp_path, "docs/a.md")
        assert found("~/docs") == ["a.md"]

    def test_names_on_disk_that_are_no_text_become_text_and_stay_distinct(self, tmp_path: Path) -> None:
        for raw in (b"caf\xe9.md", b"caf\xe8.md"):
            Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + raw)).write_text("x", encoding="utf-8")
        names = found(tmp_path)
        assert names == ["caf\\xe8.md", "caf\\xe9.md"]


class TestSizes:
    def test_a_file_over_the_limit_is_named_and_not_read(self, tmp_path: Path) -> None:
        with (tmp_path / "big.pdf").open("wb") as stream:
            stream.truncate(3_000_000_000_000)
        tree(tmp_path, "a.md")
        items = list(discover([tmp_path], Ingestion(parsing=Parsing(max_file_mb=2))))
        assert [type(item).__name__ for item in items] == ["Source", "Rejected"]
        assert isinstance(items[1], Rejected)
        assert items[1].reason == "is 3000000 MB, more than parsing.max_file_mb (2)"
        [small] = list(discover([tmp_path / "a.md"], Ingestion(parsing=Parsing(max_file_mb=1e-6))))
        assert isinstance(small, Rejected)
        assert small.reason == f"is {(tmp_path / 'a.md').stat().st_size} bytes, more than parsing.max_file_mb (1e-06)"

    def test_json_lines_are_read_row_by_row_and_have_no_limit(self, tmp_path: Path) -> None:
        path = rows(tmp_path / "t.jsonl", [{"id": n, "text": "x" * 1000} for n in range(20)])
        assert len(found(path, ingestion=Ingestion(parsing=Parsing(max_file_mb=0.001)))) == 20


class TestRows:
    def test_each_row_is_a_source_named_by_file_and_id(self, tmp_path: Path) -> None:
        path = rows(
            tmp_path / "t.jsonl",
            [{"id": "a", "text": "x"}, "", {"id": 7, "text": "y"}, {"_id": "beir", "title": "T", "text": "z"}],
        )
        assert found(path) == ["t.jsonl#a", "t.jsonl#7", "t.jsonl#beir"]
        source = next(iter(discover([path], Ingestion())))
        assert isinstance(source, Source)
        assert read_row(source) == {"id": "a", "text": "x"}

    def test_the_order_of_keys_is_no_change_and_any_value_is(self, tmp_path: Path) -> None:
        def hashes(*lines: str) -> list[str]:
            items = discover([rows(tmp_path / "t.jsonl", lines)], Ingestion())
            return [item.content_hash for item in items if isinstance(item, Source)]

        [before] = hashes('{"id": "a", "text": "x", "metadata": {"k": 1, "j": 2}}')
        assert hashes('{"metadata": {"j": 2, "k": 1}, "text": "x", "id": "a"}') == [before]
        assert hashes('{"id": "a", "text": "x", "metadata": {"k": 1, "j": 3}}') != [before]

    @pytest.mark.parametrize(
        ("line", "gist"),
        [
            ("{broken", "is no JSON object"),
            ("[1, 2]", "is no JSON object"),
            ('"text"', "is no JSON object"),
            ("null", "is no JSON object"),
            ('{"text": "x"}', 'has no "id"'),
            ('{"id": "", "text": "x"}', 'has no "id"'),
            ('{"id": null, "text": "x"}', 'has no "id"'),
            ('{"id": 1.5, "text": "x"}', 'has no "id"'),
            ('{"id": true, "text": "x"}', 'has no "id"'),
            ('{"id": "b", "text": "x", "title": {"x": 1}}', """has a "title" that is no text: {'x': 1}"""),
            ('{"id": "b", "text": "x", "title": 7}', 'has a "title" that is no text: 7'),
            ('{"id": "b", "text": "x", "metadata": {"date_created": 2026}}', 'a "date_created" that is no text: 2026'),
            (f'{{"id": "b", "text": "x", "metadata": {{"page_number": {10**22}}}}}', '"page_number" that is no page'),
            (
                f'{{"id": "b", "text": "x", "metadata": {{"a": {"[" * 100_000}{"]" * 100_000}}}}}',
                "deeper than 100 levels",
            ),
            (f'{{"id": "b", "text": "x", "metadata": {{"a": {"[" * 99}{"]" * 99}}}}}', "deeper than 100 levels"),
            ('{"id": "b"}', 'has no "text"'),
            ('{"id": "b", "text": 3}', 'has no "text"'),
            ('{"id": "b", "text": " "}', "has an empty text"),
            ('{"id": "b", "text": "x", "metadata": {"page_number": -3}}', 'has a "page_number" that is no page: -3'),
            ('{"id": "b", "text": "x", "metadata": {"page_number": true}}', 'has a "page_number" that is no page'),
            ('{"id": "b", "text": "x", "metadata": {"page_number": 3, "page_end": "9"}}', '"page_end" that is no page'),
            ('{"id": "b", "text": "x", "metadata": {"page_number": 3, "page_end": 2}}', "go with its"),
            ('{"id": "b", "text": "x", "metadata": {"page_number": 3, "page_end": 900}}', "go with its"),
            ('{"id": "b", "text": "x", "metadata": {"page_end": 3}}', "go with its"),
            ('{"id": "b", "text": "x", "metadata": {"section_heading": 3}}', '"section_heading" that is no text'),
            ('{"id": "a", "text": "again"}', "repeats the id 'a'"),
            ('{"id": "b", "text": "x", "metadata": [1]}', '"metadata" that is no object'),
        ],
    )
    def test_a_bad_row_costs_itself_and_is_named_by_its_id_or_line(self, tmp_path: Path, line: str, gist: str) -> None:
        path = rows(tmp_path / "t.jsonl", ['{"id": "a", "text": "x"}', line, '{"id": "z", "text": "x"}'])
        first, bad, last = discover([path], Ingestion())
        assert isinstance(bad, Rejected)
        match = re.match(r'\{"id": "(\w)"', line)
        match = None if "is no JSON object" in bad.reason else match
        assert bad.name == (f"t.jsonl#{match[1]}" if match else "t.jsonl:2")
        assert match is None or bad.reason.endswith("(line 2)")
        assert gist in bad.reason
        assert isinstance(first, Source)
        assert isinstance(last, Source)
        assert [first.name, last.name] == ["t.jsonl#a", "t.jsonl#z"]

    def test_a_null_is_no_value(self, tmp_path: Path) -> None:
        fields = '"title": null, "metadata": {"page_number": null, "date_created": null, "x": null}'
        path = rows(
            tmp_path / "t.jsonl", [f'{{"id": "a", "text": "x", {fields}}}', '{"id": 1, "text": "x", "metadata": null}']
        )
        assert [type(item) for item in discover([path], Ingestion())] == [Source, Source]

    @pytest.mark.parametrize(("text", "reason"), [("", "is empty (0 bytes)"), ("\n \n", "has no rows")])
    def test_a_file_without_rows_is_named(self, tmp_path: Path, text: str, reason: str) -> None:
        (tmp_path / "t.jsonl").write_text(text, encoding="utf-8")
        [bad] = discover([tmp_path], Ingestion())
        assert bad == Rejected("t.jsonl", str(tmp_path), reason, keeps=str(tmp_path / "t.jsonl"))

    def test_bytes_that_are_no_utf8_cost_their_row(self, tmp_path: Path) -> None:
        (tmp_path / "t.jsonl").write_bytes(b'{"id": "a", "text": "caf\xe9"}\n{"id": "b", "text": "x"}\n')
        bad, good = discover([tmp_path / "t.jsonl"], Ingestion())
        assert isinstance(bad, Rejected)
        assert isinstance(good, Source)
        assert good.name == "t.jsonl#b"

    def test_half_a_surrogate_pair_becomes_the_replacement_character(self, tmp_path: Path) -> None:
        """Programs that cut a text at a number of UTF-16 units write such rows; no store would take them."""
        path = rows(
            tmp_path / "t.jsonl", [r'{"id": "a\ud83d", "text": "ok \ud83d", "metadata": {"k\ude00": "\ude00"}}']
        )
        [source] = discover([path], Ingestion())
        assert isinstance(source, Source)
        assert read_row(source) == {"id": "a\ufffd", "text": "ok \ufffd", "metadata": {"k\ufffd": "\ufffd"}}
        assert source.name == "t.jsonl#a\ufffd"
        whole = rows(tmp_path / "u.jsonl", [r'{"id": "a", "text": "\ud83d\ude00"}'])
        [source] = discover([whole], Ingestion())
        assert isinstance(source, Source)
        assert read_row(source)["text"] == "😀"


def test_a_file_that_a_pattern_no_longer_finds_is_gone(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("one")
    (tmp_path / "b.md").write_text("two")
    pattern = f"{tmp_path}/*.md"
    before = [source for source in discover([pattern], Ingestion()) if isinstance(source, Source)]
    (tmp_path / "b.md").unlink()
    after = [source for source in discover([pattern], Ingestion()) if isinstance(source, Source)]
    assert {source.root for source in before} == {source.root for source in after} == {root_of(pattern)}
    assert [source.name for source in before] == ["a.md", "b.md"]
    assert [source.name for source in after] == ["a.md"]
