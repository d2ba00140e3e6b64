"""Over a Ray cluster of two nodes the index is the one that a single machine makes, whatever is killed meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from ragkit.config.ray import Ray
from ragkit.config.schema import Chunking, Config, Embedding, Ingestion, Store
from ragkit.embed import Embedder
from ragkit.errors import ConfigError, MissingExtra, ParseError, ServiceError
from ragkit.ingest.discover import Source
from ragkit.ingest.engine import Reading
from ragkit.ingest.index import build_index
from ragkit.ingest.over_ray.cluster import connect
from ragkit.ingest.over_ray.reading import Item, ReadActor, read
from ragkit.ingest.over_ray.work import Fault, work_of
from ragkit.system import Ragkit
from tests.embed.splade_model import make_splade_model
from tests.ingest.indexing import RECURSIVE, Contents
from tests.ingest.ray_cluster import ROOT, TwoNodes, descendants, kill, listening, wait_until
from tests.ingest.test_splade import splade_of, with_sparse
from tests.ingest.test_workers import files, told

PEPS = Path(__file__).parents[3] / "shared" / "data" / "peps"
SAMPLES = Path(__file__).parents[2] / "eval" / "samples"
ROWS = '{"id": "1", "text": "A row about pumps.", "metadata": {"team": "water"}}\n{"id": "2", "text": "Another."}\n'
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}
WHILE_RAY_RUNS = """
import json, sys
from ragkit.config.schema import Config
from ragkit.ingest.index import build_index

def tell(_):
    import ray
    from ray._private import state, worker
    print(json.dumps({
        "address": ray.get_runtime_context().gcs_address,
        "folder": worker._global_node.get_session_dir_path(),
        "jobs": str(state.jobs()),
    }), flush=True)
    sys.stdin.readline()

build_index(Config.model_validate_json(sys.argv[1]), [sys.argv[2]], finish=tell)
"""
"""Indexes, and before it publishes says how to get into its own Ray, and waits."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    with TwoNodes(tmp_path_factory.mktemp("ray") / "state") as cluster:
        yield cluster


def over(cluster: TwoNodes, config: Config) -> Config:
    """The same index, elsewhere, by the cluster."""
    path = config.ingestion.store.path.with_name("over-ray")
    update = {"engine": "ray", "ray": Ray(address=cluster.address), "store": Store(path=path)}
    return config.model_copy(update={"ingestion": config.ingestion.model_copy(update=update)})


def start(cluster: TwoNodes, config: Config, docs: Path) -> subprocess.Popen[str]:
    """`ragkit index` as a process of its own, as people run it."""
    file = config.ingestion.store.path.with_name("ragkit.yaml")
    file.write_text(config.model_dump_json(exclude_unset=True), encoding="utf-8")
    command = [sys.executable, "-m", "ragkit.cli.main", "index", str(docs), "-c", str(file), "--json"]
    return subprocess.Popen(
        command, env=cluster.environment, cwd=file.parent, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def ended(run: subprocess.Popen[str]) -> dict[str, object]:
    """Its report. Nothing that Ray has to say may stand beside it."""
    out, err = run.communicate(timeout=300)
    assert (run.returncode, err) == (0, ""), err
    return json.loads(out)


def embedded(config: Config) -> int:
    """How many vectors a run in progress has in its journal."""
    journal = config.ingestion.store.path / "vectors.sqlite"
    try:
        with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM vectors").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


@pytest.fixture
def peps(tmp_path: Path) -> Path:
    """Ten PEPs of middling length, 300 chunks or so: all 745 would take the model many minutes."""
    if not PEPS.is_dir():
        pytest.skip("!!! RAY IS NOT TESTED ON THE PEPS: ../shared/data/peps is not there")
    folder = tmp_path / "peps"
    folder.mkdir()
    of_size = [path for path in sorted(PEPS.glob("*.rst")) if 12_000 < path.stat().st_size < 20_000]
    for path in of_size[:: len(of_size) // 10][:10]:
        shutil.copy(path, folder / path.name)
    return folder


@pytest.fixture
def single(tmp_path: Path) -> Config:
    """The default chunks, semantic ones, of the default model."""
    return Config(ingestion=Ingestion(store=Store(path=tmp_path / "index"), embedding=Embedding(device="cpu")))


@pytest.mark.integration
@pytest.mark.data
class TestThePeps:
    def test_are_indexed_without_a_difference_though_workers_are_killed(
        self,
        cluster: TwoNodes, single: Config, peps: Path, embedder: Embedder, contents: Callable[[Config], Contents],
    ) -> None:  # fmt: skip
        config = over(cluster, single)
        run = start(cluster, config, peps)
        # Ray names its processes after what they do: one that parses dies at once, one that embeds in mid-work.
        wait_until(lambda: bool(cluster.processes("ray::MapWorker")))
        for pid in cluster.processes("ray::MapWorker"):
            kill(pid)
        wait_until(lambda: embedded(config) > 0 and bool(cluster.processes("ray::EmbedActor")), 120)
        victim = min(cluster.processes("ray::EmbedActor"))
        kill(victim)
        assert run.poll() is None
        report = ended(run)
        assert victim not in cluster.processes("ray::EmbedActor")
        build_index(single, [peps], embedder=embedder)
        assert contents(single).differences(contents(config)) == []
        assert (report["new"], report["failures"]) == (10, [])

    def test_a_run_that_is_killed_goes_on_and_embeds_nothing_twice(
        self,
        cluster: TwoNodes, single: Config, peps: Path, embedder: Embedder, contents: Callable[[Config], Contents],
    ) -> None:  # fmt: skip
        config = over(cluster, single)
        run = start(cluster, config, peps)
        wait_until(lambda: embedded(config) > 0, 120)
        run.kill()
        run.communicate()
        kept = embedded(config)
        report = ended(start(cluster, config, peps))
        assert report["reused"] == kept
        assert report["embedded"] == len({c.indexed_text for c in contents(config).chunks.values()}) - kept
        build_index(single, [peps], embedder=embedder)
        assert contents(single).differences(contents(config)) == []

    def test_a_node_that_goes_costs_its_work_and_no_more(
        self,
        tmp_path: Path, single: Config, peps: Path, embedder: Embedder, contents: Callable[[Config], Contents],
    ) -> None:  # fmt: skip
        with TwoNodes(tmp_path / "state") as cluster:
            config = over(cluster, single)
            run = start(cluster, config, peps)
            wait_until(lambda: embedded(config) > 0, 120)
            # The head, which the run is connected to, came first.
            kill(max(cluster.processes("raylet")))
            assert run.poll() is None
            ended(run)
        build_index(single, [peps], embedder=embedder)
        assert contents(single).differences(contents(config)) == []


@pytest.mark.integration
class TestAnyDocuments:
    def test_become_the_same_index_with_edits_moves_and_rows(
        self,
        tmp_path: Path, cluster: TwoNodes, config: Config, embedder: Embedder, contents: Callable[[Config], Contents],
    ) -> None:  # fmt: skip
        docs = tmp_path / "docs"
        docs.mkdir()
        for name in ("guides/faq.html", "mail/2026-01-13-welcome-to-kelvane.eml", "service/calibration-procedure.pdf"):
            shutil.copy(SAMPLES / name, docs)
        (docs / "rows.jsonl").write_text(ROWS, encoding="utf-8")
        (docs / "empty.md").touch()
        (docs / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
        far = over(cluster, config)
        first = ended(start(cluster, far, docs))
        (docs / "faq.html").rename(docs / "moved.html")
        (docs / "rows.jsonl").write_text(ROWS.replace("Another", "One more"), encoding="utf-8")
        second = ended(start(cluster, far, docs))
        assert (second["new"], second["edited"], second["moved"], second["embedded"]) == (0, 1, 1, 1)
        report = build_index(config, [docs], embedder=embedder)
        assert contents(config).differences(contents(far)) == []
        assert sorted(report.as_dict()["failures"], key=str) == sorted(first["failures"], key=str)  # type: ignore[arg-type]
        begin = {path.read_bytes()[:2] for path in far.ingestion.store.path.rglob("*") if path.is_file()}
        assert not begin & {bytes([128, protocol]) for protocol in range(2, 6)}, "a pickle lies in the index"

    def test_words_first_and_an_index_built_anew(
        self,
        cluster: TwoNodes, config: Config, docs: Path, embedder: Embedder, contents: Callable[[Config], Contents],
    ) -> None:  # fmt: skip
        far = over(cluster, config)
        progressive = far.model_copy(update={"ingestion": far.ingestion.model_copy(update={"progressive": True})})
        report = ended(start(cluster, progressive, docs))
        assert (report["documents"], report["without_vectors"]) == (4, 0)
        build_index(config, [docs], embedder=embedder)
        assert contents(config).differences(contents(far)) == []

    def test_with_the_vectors_of_a_sparse_model(
        self,
        tmp_path: Path, cluster: TwoNodes, config: Config, docs: Path, embedder: Embedder,
        contents: Callable[[Config], Contents],
    ) -> None:  # fmt: skip
        both = with_sparse(config, "both", str(make_splade_model(tmp_path / "model", window=256)))
        far = over(cluster, both)
        ended(start(cluster, far, docs))
        build_index(both, [docs], embedder=embedder)
        assert contents(both).differences(contents(far)) == []
        assert splade_of(far) == splade_of(both)

    def test_without_an_address_this_machine_does_it_and_only_its_user_gets_in(
        self, tmp_path: Path, config: Config, docs: Path, embedder: Embedder, contents: Callable[[Config], Contents]
    ) -> None:
        store = Store(path=tmp_path / "over-ray")
        alone = Config(ingestion=config.ingestion.model_copy(update={"engine": "ray", "ray": Ray(), "store": store}))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        settings = alone.model_dump_json(exclude_unset=True)
        run = subprocess.Popen(
            [sys.executable, "-c", WHILE_RAY_RUNS, settings, str(docs), "--set", "key=sk-secret"],
            env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert run.stdout
        seen = json.loads(run.stdout.readline())
        there = {address for pid in {run.pid, *descendants(run.pid)} for address in listening(pid)}
        assert there <= LOOPBACK, "not all is bound to 127.0.0.1"
        assert there
        assert "'ragkit'" in seen["jobs"]
        assert "sk-secret" not in seen["jobs"]
        code = "import sys; from ray._raylet import GcsClient; GcsClient(sys.argv[1]).get_all_job_info()"
        other = subprocess.run(
            [sys.executable, "-c", code, seen["address"]],
            env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert other.returncode == 1
        assert "AuthenticationError: RPC error: InvalidAuthToken" in other.stderr
        assert Path(seen["folder"]).is_dir()
        out, err = run.communicate("go on", timeout=120)
        assert (run.returncode, out, err) == (0, "", "")
        assert not Path(seen["folder"]).exists()
        build_index(config, [docs], embedder=embedder)
        assert contents(config).differences(contents(alone)) == []


@pytest.mark.integration
def test_the_cluster_of_the_script_is_for_this_user_of_this_machine(cluster: TwoNodes) -> None:
    there = {address for pid in descendants(cluster.pid) for address in listening(pid)}
    assert there <= LOOPBACK, "not all is bound to 127.0.0.1"
    assert there
    token = Path(cluster.environment["RAY_AUTH_TOKEN_PATH"])
    assert (token.stat().st_mode & 0o777, len(token.read_text(encoding="ascii"))) == (0o600, 64)
    assert f"ingestion.ray.address={cluster.address}" in cluster.said


class TestTheScript:
    """What it does to folders and processes that are not its own."""

    def run(self, state: Path, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(ROOT / "scripts/ray_local.sh"), command],
            env={**os.environ, "RAGKIT_RAY": str(state), "PYTHON": sys.executable, **environment},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    @pytest.mark.parametrize("command", ["start", "stop"])
    @pytest.mark.parametrize("name", ["letter.txt", "token/letter.txt", ".hidden"])
    def test_leaves_a_folder_alone_that_holds_anything_else(self, tmp_path: Path, command: str, name: str) -> None:
        letter = tmp_path / "home" / name
        letter.parent.mkdir(parents=True)
        letter.write_text("dear", encoding="ascii")
        done = self.run(tmp_path / "home", command)
        assert (done.returncode, done.stdout) == (1, "")
        assert "holds what this script has not made; name another folder in RAGKIT_RAY" in done.stderr
        assert letter.read_text(encoding="ascii") == "dear"

    def test_stops_no_process_and_removes_no_folder_that_a_state_only_names(self, tmp_path: Path) -> None:
        state, precious = tmp_path / "state", tmp_path / "ray-abc123"
        state.mkdir()
        precious.mkdir()
        with subprocess.Popen(["sleep", "60"]) as other:
            (state / "pid").write_text(str(other.pid), encoding="ascii")
            (state / "temp").write_text(str(precious), encoding="ascii")
            assert self.run(state, "stop").returncode == 0
            assert other.poll() is None
            other.kill()
        assert precious.is_dir()
        assert not state.exists()

    def test_that_fails_to_start_leaves_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "temporary").mkdir()
        done = self.run(tmp_path / "state", "start", PYTHON="/bin/false", TMPDIR=str(tmp_path / "temporary"))
        assert done.returncode == 1
        assert [path.name for path in tmp_path.rglob("*")] == ["temporary"]


@pytest.mark.integration
class TestAFile:
    """What an actor does, in this process; Ray only carries it."""

    def outcomes(self, folder: Path, *names: str, timeout_s: float = 60.0) -> dict[str, str]:
        config = Config(ingestion=Ingestion(chunking=RECURSIVE, embedding=Embedding(device="cpu")))
        parsing = config.ingestion.parsing.model_copy(update={"timeout_s": timeout_s})
        config = config.model_copy(update={"ingestion": config.ingestion.model_copy(update={"parsing": parsing})})
        actor = ReadActor(work_of(config), told)
        items = [Item(source, None, source.path.read_bytes()) for source in files(folder, *names)]
        found: dict[str, str] = {}
        for item, row in zip(items, actor({"item": items}), strict=True):
            [outcome] = row["outcome"]
            found[item.source.name] = outcome.document.text if isinstance(outcome, Reading) else str(outcome)
        return found

    def test_that_kills_its_parser_or_hangs_in_it_is_named_and_costs_nothing_else(self, tmp_path: Path) -> None:
        found = self.outcomes(tmp_path, "a.x", "die.x", "hang.x", "b.x", timeout_s=1.0)
        assert found["die.x"] == "ended its parser process (exit code -9)"
        assert found["hang.x"] == "took longer than 1 s to parse (ingestion.parsing.timeout_s)"
        assert [found[name].split()[0] for name in ("a.x", "b.x")] == ["a.x", "b.x"]

    def test_lies_on_the_disk_of_the_worker_no_longer_than_it_is_parsed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = tmp_path / "temporary"
        place.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(place))
        self.outcomes(tmp_path, "a.x", "die.x")
        assert list(place.iterdir()) == []

    def test_that_cannot_be_read_says_why(self, tmp_path: Path) -> None:
        actor = ReadActor(work_of(Config()))
        source = Source("a.md", str(tmp_path), tmp_path / "a.md", "hash")
        [row] = actor({"item": [Item(source, None, "cannot be read: No such file or directory")]})
        assert isinstance(row["outcome"][0], ParseError)


def test_workers_are_told_no_key_and_no_password() -> None:
    config = Config(
        ingestion=Ingestion(
            embedding=Embedding(backend="openai", model="m", api_key=SecretStr("sk-secret")),
            chunking=RECURSIVE,
            store=Store(backend="qdrant", url="http://localhost", api_key=SecretStr("sk-store")),
        )
    )
    told_them = work_of(config).config
    assert told_them.ingestion.embedding.api_key is None
    assert told_them.ingestion.store == Store()


def test_workers_find_a_folder_of_a_model_from_their_own_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_splade_model(tmp_path / "model", window=256)
    monkeypatch.chdir(tmp_path)
    config = with_sparse(Config(), "both", "model")
    assert work_of(config).config.retrieval.splade_model == str(tmp_path / "model")


@pytest.mark.integration
def test_a_worker_with_another_model_or_version_refuses_with_what_differs() -> None:
    work = work_of(Config(ingestion=Ingestion(embedding=Embedding(device="cpu"))))
    work.facts["ragkit"] = "9.9"
    source = Source("a.md", "/docs", Path("/docs/a.md"), "hash")
    [row] = ReadActor(work)({"item": [Item(source, None, b"text")]})
    [fault] = row["outcome"]
    assert isinstance(fault, Fault)
    assert "ragkit is another one here: " in fault.message
    assert "9.9 where ragkit index runs" in fault.message


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"ray is not installed; pip install 'ragkit\[ray\]'"):
        connect(Ray())


def test_a_program_that_has_imported_ray_is_told_that_it_would_be_open_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("ray")
    for name in ("RAY_AUTH_MODE", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ServiceError, match=r"imported ray before .* RAY_AUTH_MODE=token$"):
        connect(Ray())
    with pytest.raises(ServiceError, match=r"in reach at 127\.0\.0\.1:1"):
        connect(Ray(address="127.0.0.1:1"))


def test_a_cluster_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    config = Config(ingestion=Ingestion(engine="ray", ray=Ray(address=address), store=Store(path=tmp_path / "index")))
    (tmp_path / "a.md").write_text("# Pump\n\nIt pumps.\n", encoding="utf-8")
    began = time.monotonic()
    with pytest.raises(ServiceError, match=rf"no Ray cluster is in reach at {address}: Connection refused; start one"):
        build_index(config, [tmp_path / "a.md"])
    assert time.monotonic() - began < 10
    assert not (tmp_path / "index" / "CURRENT").exists()


def test_what_listens_and_is_no_cluster_is_told_at_once() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ServiceError, match="is no Ray cluster; give the address that"):
            connect(Ray(address=f"127.0.0.1:{server.server_port}"))
        server.shutdown()


def test_nothing_to_read_needs_no_worker() -> None:
    cluster: Any = None
    assert list(read(cluster, work_of(Config()), 1, [])) == []


class TestTheConfig:
    @pytest.mark.parametrize("address", ["ray://head:10001", "head", "http://head:6379", "head:6379/x"])
    def test_refuses_what_is_no_address_of_a_cluster(self, address: str) -> None:
        with pytest.raises(ValidationError, match="HOST:PORT"):
            Ray(address=address)

    @pytest.mark.parametrize("gpus", [1.5, 2.25])
    def test_refuses_a_share_of_several_gpus_as_ray_would(self, gpus: float) -> None:
        with pytest.raises(ValidationError, match=r"write 0\.5 or 2"):
            Ray(embed_gpus=gpus)
        assert [Ray(embed_gpus=fine).embed_gpus for fine in (0.25, 1.0, 2.0, None)] == [0.25, 1.0, 2.0, None]

    def test_goes_with_the_engine_that_a_call_names_too(self, tmp_path: Path) -> None:
        api = Ingestion(embedding=Embedding(backend="openai", model="m"), store=Store(path=tmp_path / "index"))
        rag = Ragkit(Config(ingestion=api))
        with pytest.raises(ConfigError, match=r"^chunking\.strategy semantic asks .* recursive or fixed_size"):
            rag.index([tmp_path], engine="ray")
        with pytest.raises(ConfigError, match=r"^engine: Input should be 'local' or 'ray'"):
            rag.index([tmp_path], engine="rya")  # pyright: ignore[reportArgumentType]

    def test_refuses_one_gpu_by_name_for_processes_that_have_one_each(self) -> None:
        with pytest.raises(ValidationError, match="write cuda"):
            Ingestion(engine="ray", embedding=Embedding(device="cuda:1"))

    def test_refuses_sentence_vectors_from_an_api_on_every_machine(self) -> None:
        embedding = Embedding(backend="openai", model="m")
        with pytest.raises(ValidationError, match=r"set chunking\.strategy to recursive"):
            Ingestion(engine="ray", embedding=embedding)
        Ingestion(engine="ray", embedding=embedding, chunking=Chunking(strategy="recursive"))
