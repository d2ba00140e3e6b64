"""`ragkit index --blue-green` and `--rollback`: what is compared, switched, printed, and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration  # the engine and the model

Run = Callable[..., str]
FACTS = {
    "pump": ("The pump moves nine litres of water in a minute.", "How much water goes through the pump?"),
    "lamp": ("The lamp burns for seven hours on one charge.", "How long does the lamp shine?"),
    "door": ("The door of the freezer closes by itself after a minute.", "When does the freezer shut?"),
    "badge": ("Visitors get a badge at the reception on the ground floor.", "Where do guests receive a pass?"),
    "bus": ("The bus to the station leaves every twenty minutes.", "How often can I ride to the trains?"),
    "soup": ("The soup of the canteen is cooked without meat.", "Is lunch suitable for vegetarians?"),
    "tower": ("The tower was built in 1911 of red brick.", "What material is the tall building made of?"),
    "bees": ("The bees on the roof give forty kilos of honey.", "How much honey is harvested?"),
    "leave": ("Staff may take thirty days of leave in a year.", "How many vacation days do employees have?"),
    "alarm": ("An alarm rings when the cellar is flooded.", "What happens if there is water in the basement?"),
    "paint": ("The paint of the hall has to dry for two days.", "How long until the walls can be touched?"),
    "garden": ("The garden is watered before sunrise in summer.", "When do the plants get their water?"),
}
LOCAL = ("--set", "ingestion.embedding.backend=sentence_transformers", "--set", "ingestion.embedding.base_url=null")
MODEL = ("--set", "ingestion.embedding.model=all-MiniLM-L6-v2", "--set", "ingestion.embedding.api_key=null")
DENSE = (*LOCAL, *MODEL, "--set", "ingestion.store.path=local", "--set", "retrieval.strategy=dense")


@pytest.fixture
def suite(system: Path) -> Path:
    """A suite with a question for each of twelve documents, which are in the folder of the system."""
    rows: list[str] = []
    for name, (fact, question) in FACTS.items():
        (system / "docs" / f"{name}.md").write_text(f"# The {name}\n\n{fact}\n", encoding="utf-8")
        evidence = {"document": f"{name}.md", "quote": fact}
        rows.append(json.dumps({"id": name, "question": question, "evidence": [evidence]}))
    (system / "questions.jsonl").write_text("\n".join(rows), encoding="utf-8")
    path = system / "suite.yaml"
    path.write_text("name: facts\ndata: [{path: questions.jsonl}]\n", encoding="utf-8")
    return path


@pytest.mark.timeout(300)
def test_an_index_that_finds_as_much_is_switched_to_and_back(ragkit: Run, suite: Path) -> None:
    ragkit("index", *DENSE)
    smaller = (*DENSE, "--set", "ingestion.embedding.dimensions=256")
    out = ragkit("index", "--blue-green", "--suite", str(suite), "--margin", "0.2", *smaller)
    assert "ndcg@10: " in out
    assert "on 12 questions about 12 documents" in out
    assert "ragkit index --rollback" in out
    assert "honey" in ragkit("search", "How much honey is harvested?", *smaller)
    refused = ragkit("search", "How much honey is harvested?", *DENSE, code=2)
    assert "it was switched to them by `ragkit index --blue-green` or `--rollback`" in refused
    back = ragkit("index", "--rollback", *smaller)
    assert "ingestion.embedding.dimensions: 256 → null" in back
    assert "honey" in ragkit("search", "How much honey is harvested?", *DENSE)


@pytest.mark.timeout(300)
def test_an_index_that_finds_less_is_not_switched_to(ragkit: Run, suite: Path) -> None:
    ragkit("index", *DENSE)
    worse = (*DENSE, "--set", "ingestion.embedding.dimensions=2")
    error = ragkit("index", "--blue-green", "--suite", str(suite), *worse, code=1)
    assert "the new index is not shown to find as much as the old one: " in error
    assert "-0.050 is the least allowed; the old one stays" in error
    report = json.loads(ragkit("index", "--blue-green", "--suite", str(suite), "--json", *worse, code=1))
    assert report["switched"] is report["comparison"]["holds"] is False
    gains = {gain["measure"]: gain for gain in report["comparison"]["gains"]}
    assert gains["ndcg@10"]["interval"]["low"] < -0.05
    assert gains["ndcg@10"]["new"] < gains["ndcg@10"]["old"]
    assert "honey" in ragkit("search", "How much honey is harvested?", *DENSE)
    allowed = json.loads(ragkit("index", "--blue-green", "--suite", str(suite), "--margin", "1", "--json", *worse))
    assert allowed["switched"] is True
    assert allowed["comparison"]["gains"] == report["comparison"]["gains"]


@pytest.mark.timeout(300)
def test_a_suite_of_other_documents_shows_nothing(ragkit: Run, suite: Path) -> None:
    ragkit("index")
    questions = suite.with_name("questions.jsonl")
    questions.write_text(questions.read_text(encoding="utf-8").replace(".md", ".rst"), encoding="utf-8")
    other = ("--set", "ingestion.chunking.chunk_size=64")
    error = ragkit("index", "--blue-green", "--suite", str(suite), *other, code=2)
    assert "the suite shows too little of this index: it holds labelled places of 0 questions" in error
    assert ragkit("search", "honey")


def test_without_a_suite_it_says_that_nothing_was_compared(ragkit: Run) -> None:
    out = ragkit("index", "--blue-green", "--set", "ingestion.chunking.chunk_size=64")
    assert "was not compared with the old one; --suite FILE does that" in out


def test_options_that_do_not_go_together_are_refused(ragkit: Run, system: Path) -> None:
    assert "--rollback reads no documents" in ragkit("index", "--rollback", "--blue-green", code=2)
    assert "add --blue-green" in ragkit("index", "--suite", "suite.yaml", code=2)
    assert "--margin is of a comparison" in ragkit("index", "--blue-green", "--margin", "0.1", code=2)
    assert "nothing to roll back to" in ragkit("index", "--rollback", code=2)
    nowhere = ("--set", "ingestion.store.path=nowhere")
    assert "there is no index at nowhere" in ragkit("index", "--blue-green", *nowhere, code=2)
    assert not (system / "nowhere").exists()
