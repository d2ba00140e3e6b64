"""What is the same question and what is not; a doubt is a difference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.gateway.same_question import differences, reading

SAME = [
    ("Can you tell me how much water the kettle holds?", "How much water does the kettle hold?"),
    ("I'd like to know which port the hub needs", "Which port does the hub need?"),
    ("Hi, could you please explain to me what a breaker is? Thanks!", "what is a breaker"),
    ("do you know who wrote Dune", "Who wrote Dune?"),
    ("I was wondering where the hub keeps its values", "Where does the hub keep its values?"),
    ("What's the capital of France?", "what is the capital of France"),
    ("do you know when the war ended", "When did the war end?"),
    ("the capital of France", "What is the capital of France?"),
    ("In which year did the war end?", "What year did the war end?"),
    ("How can I purchase a ticket?", "How do I buy a ticket?"),
    ("Why doesn't it start?", "why does it not start"),
    ("How long is 1,000 km?", "How long is 1000 kilometres?"),
    ("Who leads the United States?", "Who leads the US?"),
    ("What happens after five days?", "What happens after 5 days?"),
    ("On which date did Rome fall?", "When did Rome fall?"),
    ("For what reason did Rome fall?", "Why did Rome fall?"),
]
OTHER = [
    ("numbers", "set a 4 minute timer", "set a 2 minute timer"),
    ("numbers", "What is new in version 3.11?", "What is new in version 3.12?"),
    ("numbers", "What happened in 1914?", "What happened in 1941?"),
    ("numbers", "Is 10.0 too hot?", "Is 1 too hot?"),
    ("numbers", "Is it stored at -5 degrees?", "Is it stored at 5 degrees?"),
    ("numbers", "What happens after five days?", "What happens after six days?"),
    ("order", "what is 5 minus 3", "what is 3 minus 5"),
    ("units", "How many km is 5 miles", "How many miles is 5 km"),
    ("units", "can I withdraw 10 pounds", "can I withdraw 10 dollars"),
    ("words", "How hot is it in Celsius?", "How hot is it in Fahrenheit?"),
    ("words", "What happened on 3 May?", "What happened on 3 June?"),
    ("words", "who plays rick in the walking dead", "who plays carl in the walking dead"),
    ("words", "How do I enable 2FA?", "How do I disable 2FA?"),
    ("words", "turn on the light", "turn off the light"),
    ("words", "How do I log in?", "How do I log out?"),
    ("words", "Which is the largest hub?", "Which is the smallest hub?"),
    ("words", "Who wrote it before 1970?", "Who wrote it after 1970?"),
    ("words", "What is the maximum load?", "What is the minimum load?"),
    ("words", "Is C faster?", "Is C++ faster?"),
    ("words", "is x < y", "is x > y"),
    ("words", "What is the IT policy?", "What is it, the policy?"),
    ("words", "Who found America?", "Who discovered America?"),
    ("words", "Do all hubs need a port?", "Do hubs need a port?"),
    ("words", "Is it tea or coffee?", "Is it tea and coffee?"),
    ("words", "I need my card", "I have my card"),
    ("negation", "Which cards are accepted?", "Which cards are not accepted?"),
    ("negation", "Who did not vote for the law?", "Who did vote for the law?"),
    ("negation", "Is a node with no battery safe?", "Is a node with battery not safe?"),
    ("direction", "flights from Paris to Rome", "flights from Rome to Paris"),
    ("direction", "flights from Paris", "flights to Paris"),
    ("direction", "convert euros to dollars", "convert dollars to euros"),
    ("direction", "Did Germany beat Brazil?", "Was Germany beaten by Brazil?"),
    ("direction", "Is A larger than B?", "Is B larger than A?"),
    ("direction", "a painting of Rembrandt", "a painting by Rembrandt"),
    ("order", "Did Germany beat Brazil?", "Did Brazil beat Germany?"),
    ("order", "do dogs chase cats", "do cats chase dogs"),
    ("kind", "Who founded the company?", "When was the company founded?"),
    ("kind", "How many nodes were sold?", "How long were nodes sold?"),
    ("kind", "Which year did it fall?", "Which month did it fall?"),
    ("kind", "How does it start?", "Why does it start?"),
    ("kind", "Does it start?", "How does it start?"),
    ("person", "what is your name", "what is my name"),
    ("person", "When did he die?", "When did she die?"),
    ("time", "who is the president", "who was the president"),
    ("time", "What will it cost?", "What does it cost?"),
    ("time", "when to change my oil", "when did i change my oil"),
    ("order", "play a song", "what song is playing"),
    ("order", "schedule a meeting", "tell me the meeting schedule"),
    ("nothing", "thanks again", "remind me again"),
    ("time", "What is it called that was old?", "What was it called that was old?"),
    ("question words", "who sings when i kissed the teacher", "who sings where i kissed the teacher"),
    ("question words", "How and when did it enter Europe?", "How and where did it enter Europe?"),
    ("negation", "What is a house with no door?", "What is a house without no door?"),
    ("order", "Who is the manager of the team?", "Who is the team of the manager?"),
    ("obligation", "Should I send batteries?", "Do I send batteries?"),
    ("ability", "Who can vote?", "Who votes?"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_question_in_other_words(one: str, other: str) -> None:
    assert differences(one, other) == ()
    assert differences(other, one) == ()


@pytest.mark.parametrize(("what", "one", "other"), OTHER)
def test_a_small_change_that_asks_something_else(what: str, one: str, other: str) -> None:
    for found in (differences(one, other), differences(other, one)):
        assert any(each.startswith(what) for each in found), found


@pytest.mark.parametrize("one", ["?", "who is it", "again, please", ""])
def test_where_there_is_nothing_to_compare_nothing_is_the_same(one: str) -> None:
    assert differences(one, one) == ("nothing to compare",)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Wie heiß ist der Ofen?", "Wie kalt ist der Ofen?"), ("Где ключ?", "Где замок?")],
)
def test_in_other_languages_another_word_is_a_difference(one: str, other: str) -> None:
    assert differences(one, other) != ()
    assert differences(one, one) == ()


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_two_texts_can_be_compared_and_either_way_round(one: str, other: str) -> None:
    assert (differences(one, other) == ()) is (differences(other, one) == ())


@given(st.text(max_size=80))
def test_a_question_is_the_same_as_itself_or_there_is_nothing_to_compare(question: str) -> None:
    assert differences(question, question) in ((), ("nothing to compare",))


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_other_numbers_are_always_a_difference(one: int, other: int) -> None:
    same = differences(f"What does part {one} weigh?", f"What does part {other} weigh?") == ()
    assert same is (one == other)


def test_what_wraps_a_question_is_taken_off_and_no_more() -> None:
    assert reading("Hello, could you please tell me how the oven works, thanks").content == ("oven", "work")
    assert reading("Could you tell me?").content != ()
