"""The retriever and the vector store of LangChain: its own standard tests, and what they do not ask."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ragkit import Config, Filter, Ragkit
from ragkit.adapters.langchain import RagkitRetriever, RagkitVectorStore
from ragkit.config.costs import Costs
from ragkit.errors import ConfigError
from ragkit.gateway.ledger import Ledger, Payer

pytest.importorskip("langchain_tests", reason="pip install langchain-tests")
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import RetrieversIntegrationTests, VectorStoreIntegrationTests

EMBEDDING = DeterministicFakeEmbedding(size=6)
# Some of the standard tests are asynchronous, and a class has one mark for all.
BOTH_KINDS = [pytest.mark.asyncio, pytest.mark.filterwarnings("ignore:.*is not an async function:pytest.PytestWarning")]


@pytest.fixture(scope="session")
def rag(tmp_path_factory: pytest.TempPathFactory) -> Generator[Ragkit]:
    folder = tmp_path_factory.mktemp("langchain")
    for name, text in (("kettle", "The kettle holds two litres."), ("lamp", "The lamp burns."), ("oven", "It is hot.")):
        (folder / f"{name}.md").write_text(f"# {name}\n\n{text}\n", encoding="utf-8")
    config = Config.model_validate({"ingestion": {"store": {"path": str(folder / "index")}}}, strict=False)
    with Ragkit(config) as rag:
        rag.index(sorted(folder.glob("*.md")))
        yield rag


class TestRetriever(RetrieversIntegrationTests):
    pytestmark = BOTH_KINDS

    @pytest.fixture(autouse=True)
    def _over(self, rag: Ragkit) -> None:
        type(self).rag = rag

    rag: Ragkit

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return RagkitRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"rag": self.rag}

    @property
    def retriever_query_example(self) -> str:
        return "How many litres does the kettle hold?"


class TestVectorStore(VectorStoreIntegrationTests):
    pytestmark = BOTH_KINDS

    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> VectorStore:
        return RagkitVectorStore(tmp_path / "store", self.get_embeddings())


def test_a_found_document_says_where_it_stands(rag: Ragkit) -> None:
    found = RagkitRetriever(rag=rag, k=1).invoke("How many litres does the kettle hold?")[0]
    assert found.metadata["source_document"] == "kettle.md"
    document = rag.document("kettle.md")
    assert document is not None
    assert document.text[found.metadata["start"] : found.metadata["end"]] == found.page_content


def test_whom_a_search_is_for_pays_for_it(rag: Ragkit, tmp_path: Path) -> None:
    costs = Costs(ledger=tmp_path / "ledger.sqlite", machine_usd_per_hour=1.0)
    with Ragkit(rag.config.model_copy(update={"costs": costs})) as counted:
        retriever = RagkitRetriever(rag=counted, k=1, payer=Payer("acme", "theirs"))
        assert retriever.invoke("How many litres?") == asyncio.run(retriever.ainvoke("How many litres?"))
    with closing(Ledger(tmp_path / "ledger.sqlite")) as ledger:
        assert list(ledger.rows("SELECT tenant, key FROM calls")) == [("acme", "theirs")] * 2


def test_filters_hold_for_retriever_and_store(rag: Ragkit, tmp_path: Path) -> None:
    only = Filter(field="source_document", eq="lamp.md")
    assert [d.metadata["source_document"] for d in RagkitRetriever(rag=rag, filters=[only]).invoke("kettle")] == [
        "lamp.md"
    ]
    metadatas: list[dict[str, Any]] = [{"year": 2020}, {"year": 2024}]
    store = RagkitVectorStore.from_texts(["salt", "salt and oven"], EMBEDDING, metadatas, path=tmp_path / "store")
    assert [d.metadata for d in store.similarity_search("salt", filter=Filter(field="year", gte=2022))] == [
        metadatas[1]
    ]


def test_words_count_beside_vectors(tmp_path: Path) -> None:
    texts = [f"text number {number} of nothing" for number in range(30)] + ["the zymurgist"]
    store = RagkitVectorStore.from_texts(texts, EMBEDDING, path=tmp_path / "store")
    assert store.similarity_search("zymurgist", k=1)[0].page_content == "the zymurgist"


def test_a_store_is_found_again_and_followed(tmp_path: Path) -> None:
    first = RagkitVectorStore(tmp_path / "store", EMBEDDING)
    other = RagkitVectorStore(tmp_path / "store", EMBEDDING)
    first.add_texts(["salt"], [{"nested": {"list": [1, None, "ä"]}}], ids=["a"])
    assert other.get_by_ids(["a"]) == [
        Document(id="a", page_content="salt", metadata={"nested": {"list": [1, None, "ä"]}})
    ]
    first.delete()
    assert other.similarity_search("salt") == []


def test_metadata_that_no_json_has_are_refused_and_nothing_is_added(tmp_path: Path) -> None:
    store = RagkitVectorStore(tmp_path / "store", EMBEDDING)
    with pytest.raises(ConfigError, match="JSON"):
        store.add_texts(["salt", "oven"], [{}, {"made": object()}])
    assert store.similarity_search("salt") == []


@pytest.mark.integration
def test_a_store_outlives_a_kill_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "store"
    RagkitVectorStore.from_texts(["salt"], EMBEDDING, ids=["a"], path=path)
    program = (
        "import sys\n"
        "from langchain_core.embeddings import DeterministicFakeEmbedding\n"
        "from ragkit.adapters.langchain import RagkitVectorStore\n"
        "store = RagkitVectorStore(sys.argv[1], DeterministicFakeEmbedding(size=6))\n"
        "print('begun', flush=True)\n"
        "for number in range(1000):\n"
        "    store.add_texts([f'text {number} {part}' for part in range(20)])\n"
    )
    for pause in (0.05, 0.15, 0.3):
        with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as run:
            assert run.stdout is not None
            run.stdout.readline()
            time.sleep(pause)
            os.kill(run.pid, signal.SIGKILL)
        store = RagkitVectorStore(path, EMBEDDING)
        assert store.get_by_ids(["a"])[0].page_content == "salt"
        assert len(store.similarity_search("text", k=10_000)) % 20 == 1
