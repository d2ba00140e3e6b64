from __future__ import annotations

from pathlib import Path

import pytest

from ragkit.config.load import load_config
from ragkit.evaluate.generate import by_template, generate_cases
from ragkit.evaluate.gold import GoldFinder
from ragkit.system import Ragkit

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("sentence", "question"),
    [
        ("The updater needs 6 GB of free space.", "How much or how many does the updater need?"),
        ("A carton of ten Nodes weighs approx. 3.5 kg.", "How much or how many does a carton of ten Nodes weigh?"),
        ("A token is valid for 180 days by default.", "For what is a token valid?"),
        ("The bundles were deleted on 31 July 2025.", "On what were the bundles deleted?"),
        ("The inspection fee is EUR 65.", "Who or what is the inspection fee?"),
        ("Helene Aasgaard is the data protection officer.", "Who or what is Helene Aasgaard?"),
        ("As long as values are missing, read the display.", None),
        ("It is the best.", None),
        ("There are 64 Nodes.", None),
        ("Open the lid and wait.", None),
    ],
)
def test_a_template_makes_a_question_or_none(sentence: str, question: str | None) -> None:
    assert by_template(sentence) == question


@pytest.mark.integration
def test_questions_find_their_sentence_again_and_are_distinct_and_marked(tmp_path: Path) -> None:
    config = load_config(ROOT / "configs" / "quickstart.yaml", [f"ingestion.store.path={tmp_path}/index"]).config
    with Ragkit(config) as rag:
        rag.index([ROOT / "eval" / "samples"])
        made = generate_cases(rag, 15)
        again = generate_cases(rag, 15)
        other = generate_cases(rag, 15, seed=1)
        snapshot = rag.snapshot()
        finder = GoldFinder(snapshot.manifest, snapshot.store)
        places = [place for case in made.cases for place in finder.find(case)]
    assert len(made.cases) == 15
    assert made == again
    assert {case.question for case in made.cases} != {case.question for case in other.cases}
    assert all(case.synthetic and case.answers for case in made.cases)
    assert len({case.question for case in made.cases}) == 15
    assert all(place.found and place.whole for place in places)
    assert len({case.cluster for case in made.cases}) > 5, "documents take turns"
