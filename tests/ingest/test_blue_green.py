"""Another index takes the place of the one that is searched: no error, no answer of both, and a way back."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ragkit.config.hashing import config_hash
from ragkit.config.schema import Config, Embedding, Retrieval
from ragkit.embed import Embedder
from ragkit.errors import IndexMismatch, IndexSwitched, RagkitError, StoreError
from ragkit.ingest.blue_green import Side, roll_back, switch_index
from ragkit.ingest.delete import delete_documents
from ragkit.ingest.index import build_index
from ragkit.ingest.settings import as_built
from ragkit.store.folder import kept_generation
from ragkit.store.open import NoIndex, is_served, open_manifest
from ragkit.system import Ragkit
from ragkit.types import Answer
from tests.ingest.indexing import QUESTION, Contents, generation, made_with, write
from tests.repeating import repeated
from tests.serve.serving import service

pytestmark = pytest.mark.integration

Read = Callable[[Config], Contents]


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.01)


def in_force(rag: Ragkit) -> str:
    with rag.in_force() as system:
        return system.config_hash


class Asking:
    """Searches and asks one system in all ways; what was found, and every error."""

    def __init__(self, rag: Ragkit) -> None:
        self.found: list[tuple[str, frozenset[str]]] = []
        self.errors: list[BaseException] = []
        self._rag = rag

    def search(self) -> None:
        self._note(lambda: ("", [result.chunk.id for result in self._rag.search(QUESTION)]))

    def ask(self) -> None:
        self._note(lambda: self._named(self._rag.ask(QUESTION)))

    def stream(self) -> None:
        self._note(lambda: self._named([*self._rag.stream(QUESTION)][-1]))

    def _named(self, answer: str | Answer) -> tuple[str, list[str]]:
        assert not isinstance(answer, str)
        return answer.config_hash, [result.chunk.id for result in answer.results]

    def _note(self, once: Callable[[], tuple[str, list[str]]]) -> None:
        try:
            name, ids = once()
        except BaseException as error:
            self.errors.append(error)
        else:
            self.found.append((name, frozenset(ids)))


ASKING_PROCESS = """
import json, sys
from ragkit import Config, Ragkit

rag = Ragkit(Config.model_validate_json(sys.argv[1]))
while True:
    answer = rag.ask(sys.argv[2])
    found = [result.chunk.id for result in answer.results]
    print(json.dumps([answer.config_hash, found]), flush=True)
"""


@contextmanager
def asking_process(config: Config) -> Generator[list[tuple[str, frozenset[str]]]]:
    """A process of its own that asks by the config; what it found grows while the block runs. It must not end."""
    settings = config.model_dump(mode="json")
    if password := config.ingestion.store.password:
        settings["ingestion"]["store"]["password"] = password.get_secret_value()
    command = [sys.executable, "-c", ASKING_PROCESS, json.dumps(settings), QUESTION]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    found: list[tuple[str, frozenset[str]]] = []

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.endswith("\n"):  # not what the kill cut off
                name, ids = json.loads(line)
                found.append((name, frozenset(ids)))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield found
        alive = process.poll() is None
    finally:
        process.kill()
        reader.join()
        assert process.stdout is not None
        assert process.stderr is not None
        said = process.stderr.read()
        process.stdout.close()
        process.stderr.close()
        process.wait()
    assert alive, said
    assert "Error" not in said, said


@pytest.mark.timeout(600)
def test_who_searches_goes_over_and_back_without_an_error_or_a_mixed_answer(
    blue: Config, green: Config, docs: Path, embedder: Embedder, green_embedder: Embedder, contents: Read
) -> None:
    build_index(blue, [docs], embedder=embedder)
    chunks = {config_hash(blue): set(contents(blue).chunks)}
    with asking_process(blue) as elsewhere, Ragkit(blue) as rag:
        asking = Asking(rag)
        with repeated(asking.search, asking.ask, asking.stream):
            wait_until(lambda: bool(elsewhere) and len(asking.found) > 3)
            assert not asking.errors
            switch_index(green, [docs], embedder=green_embedder)
            wait_until(lambda: elsewhere[-1][0] == in_force(rag) == config_hash(green))
            chunks[config_hash(green)] = set(rag_chunks(green))
            roll_back(green)
            wait_until(lambda: elsewhere[-1][0] == in_force(rag) == config_hash(blue))
            roll_back(blue)
            wait_until(lambda: elsewhere[-1][0] == in_force(rag) == config_hash(green))
    assert not asking.errors
    blue_chunks, green_chunks = chunks.values()
    assert not blue_chunks & green_chunks, "a mix would show"
    for name, ids in [*asking.found, *elsewhere]:
        assert ids <= blue_chunks or ids <= green_chunks
        assert ids
        if name:
            assert ids <= chunks[name]
    assert {name for name, _ in elsewhere} == set(chunks)
    assert {name for name, _ in asking.found} == {"", *chunks}


def rag_chunks(config: Config) -> list[str]:
    with Ragkit(config) as rag:
        return [chunk.id for chunk in rag.snapshot().store.iter_chunks()]


def test_whatever_is_done_with_the_system_in_force_is_of_one_index(
    blue: Config, green: Config, docs: Path, embedder: Embedder, green_embedder: Embedder
) -> None:
    build_index(blue, [docs], embedder=embedder)
    with Ragkit(blue) as rag:
        rag.search(QUESTION)
        with rag.in_force() as system:
            switch_index(green, [docs], embedder=green_embedder)
            rag.search(QUESTION)
            wait_until(lambda: in_force(rag) == config_hash(green))
            # As a request does that began before the switch.
            store, vector = system.snapshot().store, system.embedder.embed_question(QUESTION)
            assert vector.shape == (384,)
            assert store.search(3, vector, QUESTION)[0]
            assert system.config is blue
        with rag.in_force() as system:
            store, vector = system.snapshot().store, system.embedder.embed_question(QUESTION)
            assert vector.shape == (64,)
            assert store.search(3, vector, QUESTION)[0]
        document = rag.document("docs/a.md") or rag.document("a.md")
        assert document is not None
        with pytest.raises(IndexSwitched, match="ragkit index --rollback"):
            rag.snapshot()


def test_what_comes_later_is_indexed_by_the_settings_that_were_switched_to(
    blue: Config, green: Config, docs: Path, embedder: Embedder, green_embedder: Embedder
) -> None:
    build_index(blue, [docs], embedder=embedder)
    with Ragkit(blue) as rag:
        rag.search(QUESTION)
        switch_index(green, [docs], embedder=green_embedder)
        write(docs / "new.md", "Manual new", "boiler")
        report = rag.index([docs])
        assert (report.new, report.unchanged) == (1, 4)
        assert any("boiler" in result.chunk.text for result in rag.search("Who checks the boiler?"))
        assert in_force(rag) == config_hash(green)
    with Ragkit(green) as rag:
        assert rag.snapshot().store.count() == rag.snapshot().store.count(vector="dense")
    with Ragkit(blue) as rag, pytest.raises(IndexSwitched, match="dimensions: 64 in the index, null in the config"):
        rag.index([docs])  # a process that begins is to have the settings of the index


def test_a_process_follows_only_a_switch(
    blue: Config, green: Config, docs: Path, embedder: Embedder, green_embedder: Embedder
) -> None:
    build_index(blue, [docs], embedder=embedder)
    with Ragkit(blue) as rag, Ragkit(blue, follow=False) as fixed:
        before = rag.search(QUESTION)
        assert fixed.search(QUESTION)
        switch_index(green, [docs], embedder=green_embedder)
        third = made_with(green.ingestion.store, chunk_size=48)
        with pytest.raises(IndexMismatch):
            Ragkit(third).search(QUESTION)
        with pytest.raises(IndexSwitched):
            Ragkit(blue, follow=False).search(QUESTION)
        assert [result.chunk.id for result in fixed.search(QUESTION)] == [result.chunk.id for result in before]
        build_index(third, [docs], embedder=embedder, rebuild=True)
        with pytest.raises(IndexMismatch):
            rag.search(QUESTION)


def test_a_rebuild_by_the_same_settings_loses_nobody_who_followed(
    blue: Config, green: Config, docs: Path, embedder: Embedder, green_embedder: Embedder
) -> None:
    build_index(blue, [docs], embedder=embedder)
    switch_index(green, [docs], embedder=green_embedder)
    build_index(green, [docs], embedder=green_embedder, rebuild=True)
    with Ragkit(blue) as rag:
        assert rag.search(QUESTION)
        assert in_force(rag) == config_hash(green)


def test_a_process_that_cannot_load_the_new_model_stays_with_the_old_index(
    blue: Config, docs: Path, embedder: Embedder, caplog: pytest.LogCaptureFixture
) -> None:
    build_index(blue, [docs], embedder=embedder)
    chunking = blue.ingestion.chunking
    with service() as (url, _), Ragkit(blue) as rag:
        rag.search(QUESTION)
        model = Embedding(backend="openai", model="words", base_url=url)
        ingestion = blue.ingestion.model_copy(update={"embedding": model, "chunking": chunking})
        other = blue.model_copy(update={"ingestion": ingestion})
        switch_index(other, [docs])
        # The address and key of a service are each process's own, and this one has none.
        assert rag.search(QUESTION)
        wait_until(lambda: "this process stays with the one before" in caplog.text)
        assert rag.search(QUESTION)
        assert in_force(rag) == config_hash(blue)
        assert caplog.text.count("this process stays") == 1
        roll_back(blue)
        assert rag.search(QUESTION)


def test_the_settings_that_are_taken_over_leave_the_rest_as_it_is(docs: Path, tmp_path: Path) -> None:
    with service() as (url, _):
        embedding = {"backend": "openai", "model": "words", "query_prefix": "q: ", "base_url": url, "api_key": "theirs"}
        ingestion = {"store": {"path": tmp_path / "index"}, "embedding": embedding, "parsing": {"workers": 1}}
        theirs = Config.model_validate({"ingestion": ingestion, "retrieval": {"bm25": {"k1": 1.5}}})
        build_index(theirs, [docs])
    own = {"model": "other", "backend": "openai", "base_url": "http://127.0.0.1:1/v1", "api_key": "own"}
    mine = Config.model_validate({"ingestion": {**ingestion, "embedding": own}, "retrieval": {"top_k": 3}})
    with open_manifest(theirs) as manifest:
        assert manifest is not None
        assert "theirs" not in json.dumps([manifest.meta("built_with"), manifest.meta("settings")])
        taken = as_built(mine, manifest)
    assert taken.ingestion.embedding.model == "words"
    assert taken.ingestion.embedding.query_prefix == "q: "
    assert taken.ingestion.embedding.base_url == "http://127.0.0.1:1/v1"
    assert taken.ingestion.embedding.api_key == mine.ingestion.embedding.api_key
    assert (taken.retrieval.top_k, taken.retrieval.bm25.k1) == (3, 1.5)
    same = theirs.model_copy(update={"retrieval": Retrieval.model_validate({"top_k": 3, "bm25": {"k1": 1.5}})})
    assert config_hash(taken) == config_hash(same)


def test_what_verification_raises_leaves_the_old_index_and_the_vectors_for_another_try(
    blue: Config, green: Config, docs: Path, embedder: Embedder, green_embedder: Embedder, contents: Read
) -> None:
    build_index(blue, [docs], embedder=embedder)
    before = contents(blue)

    def refuse(old: Side, new: Side) -> None:
        assert old.config.ingestion.embedding.dimensions is None
        assert old.store.count() > new.store.count()
        raise RagkitError("it is worse")

    with pytest.raises(RagkitError, match="it is worse"):
        switch_index(green, [docs], embedder=green_embedder, verify=refuse)
    assert generation(blue) == "gen-000001"
    assert before.differences(contents(blue)) == []
    report, _ = switch_index(green, [docs], embedder=green_embedder)
    assert report.embedded == 0
    assert generation(blue) == "gen-000002"


def test_a_rollback_brings_back_what_was_there_and_says_what_is_not(
    blue: Config, green: Config, docs: Path, embedder: Embedder, green_embedder: Embedder, contents: Read
) -> None:
    build_index(blue, [docs], embedder=embedder)
    before = contents(blue)
    switch_index(green, [docs], embedder=green_embedder)
    write(docs / "new.md", "Manual new", "boiler")
    build_index(green, [docs], embedder=green_embedder)
    back = roll_back(green)
    assert back.behind == 1
    assert "ingestion.embedding.dimensions: 64 → null" in back.settings
    assert before.differences(contents(blue)) == []
    report = build_index(blue, [docs], embedder=embedder)
    assert (report.new, report.unchanged) == (1, 4)


def test_the_old_index_goes_when_its_time_is_up(
    blue: Config, green: Config, docs: Path, embedder: Embedder, green_embedder: Embedder
) -> None:
    folder = blue.ingestion.store.path
    build_index(blue, [docs], embedder=embedder)
    switch_index(green, [docs], embedder=green_embedder, grace_s=3600)
    build_index(green, [docs], embedder=green_embedder)
    assert kept_generation(folder)
    write(docs / "new.md", "Manual new", "boiler")
    build_index(green, [docs], embedder=green_embedder)
    served = is_served(blue.ingestion.store)
    assert generations(folder) == ["gen-000001", "gen-000002" if served else "gen-000003"]
    roll_back(green, grace_s=0)
    assert generations(folder) == ["gen-000003" if served else "gen-000004"]
    with pytest.raises(StoreError, match="nothing to roll back to"):
        roll_back(blue)


@pytest.mark.parametrize("how", ["by its name", "with its file"])
def test_what_is_deleted_is_in_no_index_that_is_kept(
    blue: Config, green: Config, docs: Path, embedder: Embedder, green_embedder: Embedder, how: str
) -> None:
    build_index(blue, [docs], embedder=embedder)
    switch_index(green, [docs], embedder=green_embedder)
    (docs / "a.md").unlink()
    if how == "by its name":
        with open_manifest(green) as manifest:
            assert manifest is not None
            name = next(entry.name for entry in manifest.entries() if entry.name.endswith("a.md"))
        receipt = delete_documents(green, [name])
    else:
        receipt = build_index(green, [docs], embedder=green_embedder).receipt
    assert receipt is not None
    assert receipt.files == 0
    assert generations(green.ingestion.store.path) == [
        "gen-000002" if is_served(green.ingestion.store) else "gen-000003"
    ]
    with pytest.raises(StoreError, match="nothing to roll back to"):
        roll_back(green)


def generations(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("gen-*"))


def test_where_there_is_nothing_to_switch_from_it_says_so(blue: Config, docs: Path, embedder: Embedder) -> None:
    with pytest.raises(NoIndex, match="run: ragkit index PATH"):
        switch_index(blue, [docs])
    with pytest.raises(NoIndex, match="run: ragkit index PATH"):
        roll_back(blue)
    build_index(blue, [docs], embedder=embedder)
    with pytest.raises(StoreError, match="nothing to roll back to"):
        roll_back(blue)
