"""One id for all that is told of one question."""

from __future__ import annotations

from ragkit.observe.trace import TRACE_ID, trace_id, trace_id_of


def test_each_question_has_an_id_of_its_own_unless_it_belongs_to_a_trace() -> None:
    assert trace_id() != trace_id()
    token = TRACE_ID.set("a" * 32)
    try:
        assert trace_id() == trace_id() == "a" * 32
    finally:
        TRACE_ID.reset(token)


def test_a_header_that_is_none_makes_a_new_trace() -> None:
    assert len({trace_id_of(given) for given in ("", "00-xyz", f"00-{'0' * 32}-{'1' * 16}-01")}) == 3
