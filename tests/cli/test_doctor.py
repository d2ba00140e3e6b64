"""`ragkit doctor`: what is wrong is found, named, and comes with its mend; secrets never show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ragkit.config.costs import Costs
from ragkit.config.schema import Config, Embedding, Ingestion, Store
from ragkit.doctor.installation import needed_extras
from ragkit.doctor.models import prefixes
from tests.gateway.redis_server import RedisServer, installed

Run = Callable[..., str]


def findings(out: str) -> dict[str, dict[str, Any]]:
    return {finding["check"]: finding for finding in json.loads(out)["findings"]}


def test_a_sound_system_is_fine(ragkit: Run) -> None:
    out = ragkit("doctor", "--json")
    found = findings(out)
    assert json.loads(out)["status"] == "ok"
    assert {finding["status"] for finding in found.values()} == {"ok"}
    assert "4 documents" in found["index"]["detail"]
    assert found["ingestion.embedding.base_url"]["detail"].endswith(" answers")
    assert ragkit("doctor").splitlines()[-1] == "everything is fine"


def test_the_packaged_model_is_verified_and_must_read_whole_chunks(ragkit: Run, tmp_path: Path) -> None:
    model = ("--set", "ingestion.embedding.backend=sentence_transformers", "--set", f"ingestion.store.path={tmp_path}")
    model += ("--set", "ingestion.embedding.model=all-MiniLM-L6-v2")
    found = findings(ragkit("doctor", *model, "--json"))
    assert "sha256 is the publisher's" in found["model"]["detail"]
    assert "fit the 256" in found["chunk size"]["detail"]
    assert found["index"]["status"] == "warn"  # nothing was indexed there
    found = findings(ragkit("doctor", *model, "--set", "ingestion.chunking.chunk_size=500", "--json", code=1))
    assert found["model"]["status"] == "fail"
    assert "set chunk_size to " in found["model"]["mend"]


@pytest.mark.parametrize("backend", ["llama_cpp", "vllm"])
def test_a_language_model_that_is_not_here_is_a_failure_with_the_way_to_get_it(
    ragkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setenv("RAGKIT_MODELS", str(tmp_path))
    chosen = ("--set", f"generation.backend={backend}", "--set", "generation.model=qwen2.5-coder-0.5b-instruct")
    found = findings(ragkit("doctor", *chosen, "--json", code=1))["generation.model"]
    assert found["status"] == "fail"
    assert "ragkit models fetch qwen2.5-coder-0.5b-instruct" in f"{found['detail']} {found['mend']}"


def test_a_reranker_is_looked_at(ragkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGKIT_MODELS", str(tmp_path))
    for name, said in (
        ("all-MiniLM-L6-v2", "is a model for embedding, not for reranking"),
        ("bge-reranker-base", "is not on this machine"),
    ):
        chosen = ("--set", "retrieval.reranking.backend=cross_encoder", "--set", f"retrieval.reranking.model={name}")
        found = findings(ragkit("doctor", *chosen, "--json", code=1))["reranking.model"]
        assert found["status"] == "fail"
        assert said in found["detail"]


def test_a_sparse_model_is_looked_at(ragkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "retrieval.splade_model" not in findings(ragkit("doctor", "--json"))
    monkeypatch.setenv("RAGKIT_MODELS", str(tmp_path))
    for name, said in (
        ("all-MiniLM-L6-v2", "is a model for embedding, not for sparse"),
        ("splade-tiny", "is not on this machine"),
    ):
        chosen = ("--set", "retrieval.sparse=both", "--set", f"retrieval.splade_model={name}")
        found = findings(ragkit("doctor", *chosen, "--json", code=1))["retrieval.splade_model"]
        assert found["status"] == "fail"
        assert said in found["detail"]


def test_an_index_of_other_settings_is_a_failure_with_its_mend(ragkit: Run) -> None:
    found = findings(ragkit("doctor", "--set", "ingestion.chunking.chunk_size=64", "--json", code=1))
    assert found["index settings"]["status"] == "fail"
    assert found["index settings"]["mend"] == "to build it anew: ragkit index --rebuild"


def test_a_service_that_is_down_is_a_failure_and_its_key_is_never_shown(ragkit: Run) -> None:
    generation = ("--set", "generation.backend=openai", "--set", "generation.model=m")
    generation += ("--set", "generation.base_url=http://127.0.0.1:9/v1", "--set", "generation.api_key=sk-secret")
    out = ragkit("doctor", *generation, "--json", code=1)
    assert findings(out)["generation.base_url"]["status"] == "fail"
    assert findings(out)["generation.api_key"]["detail"] == "set"
    assert "sk-secret" not in out + ragkit("doctor", *generation, code=1)


def test_a_missing_key_is_a_failure_only_where_it_is_needed(ragkit: Run) -> None:
    generation = ("--set", "generation.backend=openai", "--set", "generation.model=m")
    found = findings(ragkit("doctor", *generation, "--json", code=1))
    assert found["generation.api_key"]["status"] == "fail"
    assert found["ingestion.embedding.api_key"]["status"] == "ok"  # its service has an address of its own


def test_every_endpoint_is_looked_at_and_what_has_no_price_is_told(ragkit: Run) -> None:
    endpoints = [
        {"name": "own", "base_url": "http://127.0.0.1:9/v1", "model": "mine"},
        {"name": "openai", "model": "gpt-4o-mini"},
        {"name": "local", "backend": "llama_cpp", "model": "nowhere.gguf"},
        {"name": "documents", "backend": "extractive"},
    ]
    model = ("--set", "generation.backend=openai", "--set", "generation.model=none")
    routed = (*model, "--set", f"routing.endpoints={json.dumps(endpoints)}")
    found = findings(ragkit("doctor", *routed, "--json", code=1))
    place = "routing.endpoints"
    assert "does not answer" in found[f"{place}.own.base_url"]["detail"]
    assert (found[f"{place}.own price"]["status"], found[f"{place}.openai price"]["status"]) == ("warn", "ok")
    assert found[f"{place}.openai.api_key"]["status"] == "fail"
    assert found[f"{place}.local.model"]["status"] == "fail"
    assert not any("documents" in name for name in found)
    assert "generation.api_key" not in found, "no question goes there"
    budget = ("--set", 'costs.budgets=[{"per": "day", "usd": 1}]', "--set", "costs.ledger=l.sqlite")
    refused = findings(ragkit("doctor", *routed, *budget, "--json", code=1))[f"{place}.own price"]
    assert (refused["status"], refused["mend"]) == ("fail", "write costs.prices.mine")


def test_a_ledger_on_a_server_is_looked_at_and_its_password_not_shown(ragkit: Run) -> None:
    assert needed_extras(Config(costs=Costs(ledger="postgresql://db/ragkit"))) >= {"postgres"}
    away = ("--set", "costs.ledger=postgresql://ann@127.0.0.1:9/ragkit", "--set", "costs.ledger_password=hunter2")
    out = ragkit("doctor", *away, "--json", code=1)
    found = findings(out)["costs.ledger"]
    assert found["status"] == "fail"
    assert "postgresql://127.0.0.1:9/ragkit cannot be used" in found["detail"]
    assert "hunter2" not in out + ragkit("doctor", *away, code=1)


def test_a_database_of_chunks_is_looked_at_and_its_password_not_shown(ragkit: Run, pgvector_settings: Store) -> None:
    assert needed_extras(Config(ingestion=Ingestion(store=pgvector_settings))) >= {"postgres"}
    path = ("--set", "ingestion.store.path=elsewhere")
    store = (*path, "--set", "ingestion.store.backend=pgvector", "--set", "ingestion.store.password=hunter2")
    away = (*store, "--set", "ingestion.store.url=postgresql://ann@127.0.0.1:9/docs")
    out = ragkit("doctor", *away, "--json", code=1)
    found = findings(out)["ingestion.store.url"]
    assert found["status"] == "fail"
    assert "postgresql://127.0.0.1:9/docs cannot be used" in found["detail"]
    assert "hunter2" not in out + ragkit("doctor", *away, code=1)
    assert pgvector_settings.password is not None
    there = ("--set", f"ingestion.store.url={pgvector_settings.url}")
    password = ("--set", f"ingestion.store.password={pgvector_settings.password.get_secret_value()}")
    found = findings(ragkit("doctor", *store, *there, *password, "--json"))
    assert found["ingestion.store.url"]["status"] == "ok"
    assert re.search(r"/test_\d+: PostgreSQL \d+\.\d+, pgvector \d+\.\d+", found["ingestion.store.url"]["detail"])
    assert found["ingestion.store.password"]["detail"] == "set"


def test_a_ray_cluster_is_looked_at(ragkit: Run) -> None:
    assert needed_extras(Config(ingestion=Ingestion(engine="ray"))) >= {"ray"}
    ray = ("--set", "ingestion.engine=ray")
    assert "this machine" in findings(ragkit("doctor", *ray, "--json"))["ingestion.ray"]["detail"]
    away = (*ray, "--set", "ingestion.ray.address=127.0.0.1:9")
    found = findings(ragkit("doctor", *away, "--json", code=1))["ingestion.ray.address"]
    assert (found["status"], "no Ray cluster is in reach at 127.0.0.1:9" in found["detail"]) == ("fail", True)


def test_the_redis_of_the_cache_is_looked_at_and_its_password_not_shown(ragkit: Run) -> None:
    redis = ("--set", "cache.mode=exact", "--set", "cache.store=redis", "--set", "cache.password=hunter2")
    away = (*redis, "--set", "cache.url=redis://127.0.0.1:9/0")
    out = ragkit("doctor", *away, "--json")
    found = findings(out)["cache.url"]
    # Answers come without it, too.
    assert (found["status"], "redis://127.0.0.1:9/0 cannot be used" in found["detail"]) == ("warn", True)
    assert "hunter2" not in out + ragkit("doctor", *away)


@pytest.mark.skipif(not installed(), reason="!!! REDIS IS NOT TESTED: there is no redis-server")
def test_a_redis_that_is_there_tells_how_many_answers_it_keeps(ragkit: Run) -> None:
    with RedisServer("--requirepass", "hunter2") as server:
        redis = ("--set", "cache.mode=exact", "--set", "cache.store=redis", "--set", f"cache.url={server.url}")
        found = findings(ragkit("doctor", *redis, "--set", "cache.password=hunter2", "--json"))["cache.url"]
        assert (found["status"], found["detail"].endswith("0 answers kept")) == ("ok", True)
        assert findings(ragkit("doctor", *redis, "--json"))["cache.url"]["status"] == "warn"


def test_a_config_that_cannot_be_read_is_a_finding(ragkit: Run) -> None:
    found = findings(ragkit("doctor", "--set", "retrieval.topk=3", "--json", code=1))
    assert found["config"]["status"] == "fail"
    assert "top_k" in f"{found['config']['detail']} {found['config']['mend']}"


def test_a_broken_index_is_a_failure(ragkit: Run, system: Path) -> None:
    (system / "index" / "CURRENT").write_text("gen-999999", encoding="ascii")
    found = findings(ragkit("doctor", "--json", code=1))
    assert found["index"]["status"] == "fail"
    assert "--rebuild" in found["index"]["mend"]


def test_a_place_that_cannot_be_written_is_a_failure(ragkit: Run) -> None:
    found = findings(ragkit("doctor", "--set", "ingestion.store.path=ragkit.yaml/index", "--json", code=1))
    assert found["write access"]["status"] == "fail"
    assert "ingestion.store.path" in found["write access"]["mend"]


@pytest.mark.parametrize(("overrides", "code"), [((), 0), (("--set", "retrieval.topk=3"), 1)])
def test_the_exit_code_of_a_process(system: Path, overrides: tuple[str, ...], code: int) -> None:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "ragkit.cli.main", "doctor", *overrides]
    done = subprocess.run(command, capture_output=True, text=True, cwd=system, env=environ, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (code, "")


def test_prefixes_that_the_model_was_not_trained_with_are_a_warning() -> None:
    def warned(**settings: str) -> list[str | None]:
        config = Config(ingestion=Ingestion(embedding=Embedding.model_validate(settings)))
        return [finding.mend for finding in prefixes(config)]

    assert warned(model="intfloat/e5-base-v2", query_prefix="query: ", passage_prefix="") == [
        "leave ingestion.embedding.passage_prefix out to have that"
    ]
    assert warned(model="e5-base-v2", query_prefix="query: ", passage_prefix="passage: ") == []
    assert warned(model="hf:intfloat/e5-base-v2@main") == []
    server = {"backend": "openai", "model": "intfloat/e5-base-v2", "base_url": "http://localhost/v1"}
    assert warned(**server, query_prefix="query: ") == [
        "set ingestion.embedding.passage_prefix to 'passage: ', or to '' if the server adds it"
    ]
    assert warned(**server, query_prefix="", passage_prefix="") == []
    assert warned(model="all-MiniLM-L6-v2") == warned(model="somebody/else", query_prefix="q") == []


class _Reversing(BaseHTTPRequestHandler):
    """A rerank service that puts what shares most words with the query last."""

    def do_GET(self) -> None:
        self.send_error(404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = set(body["query"].casefold().split())
        shared = [len(asked & set(text.casefold().split())) for text in body["documents"]]
        results = [{"index": n, "relevance_score": -count} for n, count in enumerate(shared)]
        payload = json.dumps({"results": results}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def reversing() -> Iterator[tuple[str, ...]]:
    """The options that make a system use that service."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Reversing)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    yield "--set", "retrieval.reranking.backend=http", "--set", f"retrieval.reranking.base_url={url}"
    server.shutdown()
    server.server_close()


def test_a_reranker_that_an_evaluation_found_to_hurt_is_named_with_what_turns_it_off(
    ragkit: Run, reversing: tuple[str, ...]
) -> None:
    found = findings(ragkit("doctor", *reversing, "--json"))
    assert found["reranking"]["status"] == "ok"
    assert "not measured with this config" in found["reranking"]["detail"]
    rows: list[str] = []
    for number in range(14):
        quote = f"The pump in hall {number} is checked by team {number + 20} in week {number + 30}"
        Path(f"docs/hall-{number}.md").write_text(f"# Hall {number}\n\n{quote}.\n", encoding="utf-8")
        rows.append(
            json.dumps({"question": f"{quote}?", "evidence": [{"document": f"hall-{number}.md", "quote": quote}]})
        )
    ragkit("index")
    Path("questions.jsonl").write_text("\n".join(rows), encoding="utf-8")
    Path("suite.yaml").write_text("name: own\ndata: [{path: questions.jsonl}]\n", encoding="utf-8")
    ragkit("eval", "checklist", "--suite", "suite.yaml", *reversing, code=1)
    hurts = findings(ragkit("doctor", *reversing, "--json"))["reranking"]
    assert hurts["status"] == "warn"
    assert "ranks worse than none" in hurts["detail"]
    assert hurts["mend"] == "to turn it off: retrieval.reranking.backend: none"
    assert "to turn it off" in ragkit("eval", "report", "last").replace("\n", " ")
    # The figures of one config say nothing of another.
    other = findings(ragkit("doctor", *reversing, "--set", "retrieval.reranking.candidates=3", "--json"))
    assert other["reranking"]["status"] == "ok"
    assert "reranking" not in findings(ragkit("doctor", "--json"))
