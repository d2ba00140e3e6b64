"""A thumb with a reason, a question that becomes an evaluation case, and why a chunk was found."""

from __future__ import annotations

import pytest

from ragkit.evaluate.cases import read_jsonl
from tests.serve.pages.conftest import Open, Site, ask, fits, picture, serious

pytestmark = pytest.mark.integration


def test_a_thumb_is_noted_and_its_reason_too(visit: Open, site: Site) -> None:
    page = visit().page
    ask(page, "How much water does the kettle hold?")
    bad = page.get_by_role("button", name="Bad answer")
    bad.click()
    page.get_by_text("Noted.").first.wait_for()
    assert bad.get_attribute("aria-pressed") == "true"
    page.get_by_label("Why?").fill("It cannot fly.")
    page.keyboard.press("Enter")
    page.get_by_text("the reason is noted").first.wait_for()
    with site.client("root") as client:
        last = client.get("/v1/feedback").json()["feedback"][0]
    assert (last["verdict"], last["reason"]) == ("down", "It cannot fly.")
    assert last["question"] == "How much water does the kettle hold?"


def test_one_click_turns_a_question_into_a_case_with_the_cited_places(visit: Open, site: Site) -> None:
    page = visit().page
    ask(page, "How much water does the kettle hold?")
    page.get_by_role("button", name="Save as evaluation case").click()
    page.get_by_text("with 1 cited place as its evidence").first.wait_for()
    case = read_jsonl(site.folder / "serve" / "cases" / "_.jsonl")[-1]
    assert case.question == "How much water does the kettle hold?"
    assert case.evidence[0].document == "_/kettle.md"
    assert case.evidence[0].quote.startswith("The kettle holds two litres")
    picture(page, "ask-saved")


def test_a_reader_may_judge_but_not_save(visit: Open) -> None:
    page = visit("reader").page
    ask(page, "How much water does the kettle hold?")
    assert page.get_by_role("button", name="Good answer").is_visible()
    assert page.get_by_role("button", name="Save as evaluation case").count() == 0


def test_the_why_panel_shows_the_rank_at_every_stage(visit: Open) -> None:
    page = visit(width=360).page
    ask(page, "How much water does the kettle hold?")
    button = page.get_by_role("button", name="Why this chunk?").first
    button.focus()
    page.keyboard.press("Enter")
    panel = page.locator(".why table").first
    panel.wait_for()
    assert button.get_attribute("aria-expanded") == "true"
    shown = page.locator(".why").first.inner_text()
    assert "Rank 1 of the first 10." in shown
    for stage in ("words", "meaning", "fused"):
        assert stage in shown
    assert "kettle in the chunk" in shown
    assert fits(page)
    picture(page, "why-phone")
    assert serious(page) == []
