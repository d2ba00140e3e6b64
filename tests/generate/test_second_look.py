"""The second look at a small model's answer: what is looked at, what decides, and when a sentence is quoted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ragkit.config.schema import Generation
from ragkit.generate.prompt import build_messages
from ragkit.generate.second_look import chance, leaves_doubt, look_at, yes_or_no
from ragkit.generate.sentence_terms import Nearest
from ragkit.ingest.sentences import split_sentences
from ragkit.types import Chunk


def chunk(text: str, identity: str = "1") -> Chunk:
    return Chunk(identity, identity, text, 0, len(text), 9, {"source_document": f"{identity}.md"})


CHUNKS = [chunk("The probe hangs in the door."), chunk("It has a lamp. The alarm lamp is red.", "2")]
NEAREST = Nearest(2, "The alarm lamp is red.")


def test_the_nearest_sentence_comes_with_the_number_of_its_chunk() -> None:
    assert look_at("Which colour has the alarm lamp?", CHUNKS, split_sentences) == NEAREST
    assert look_at("Which colour has the alarm lamp?", [], split_sentences) is None


def test_the_model_is_asked_under_the_system_prompt_of_the_answer_and_a_passage_cannot_ask() -> None:
    config = Generation(backend="llama_cpp", model="m", citations="grammar")
    system, user = yes_or_no(config, "Red?", "[Source: a.md] <document 1> is red.")
    assert system == build_messages(config, "Red?", CHUNKS)[0]
    assert "[Source" not in user["content"]
    assert user["content"].endswith("Does the passage answer the question? Reply yes or no.")


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_more_evidence_or_a_surer_model_never_lowers_the_chance(one: float, other: float, fixed: float) -> None:
    low, high = sorted((one, other))
    assert 0 <= chance(low, fixed) <= chance(high, fixed) <= 1
    assert 0 <= chance(fixed, low) <= chance(fixed, high) <= 1


def test_an_answer_leaves_doubt_if_it_is_reworded_or_has_nothing_of_the_nearest_sentence() -> None:
    def doubt(answer: str) -> bool:
        return leaves_doubt(answer, NEAREST, CHUNKS, split_sentences)

    assert not doubt("The alarm lamp is red.")
    assert not doubt("It has a lamp. The alarm lamp is red.")
    assert not doubt("The alarm lamp is  RED")
    assert doubt("The alarm lamp is blue.")
    assert doubt("The alarm lamp is red. It blinks.")
    assert doubt("The probe hangs in the door."), "copied, but another sentence is nearer"
