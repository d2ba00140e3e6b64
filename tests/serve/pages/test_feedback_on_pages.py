"""A thumb with a reason, a question that becomes an evaluation case, and why a chunk was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ragkit.evaluate.cases import Case, read_jsonl
from tests.serve.pages.conftest import SHOTS, Open, Site, ask, fits, picture, serious
from tests.serve.serving import upload

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

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


def opened(page: Page, question: str = "How much water does the kettle hold?") -> Locator:
    ask(page, question)
    page.get_by_role("button", name="Save as evaluation case").click()
    return page.get_by_role("dialog", name="Save as evaluation case")


def last_case(site: Site) -> Case:
    return read_jsonl(site.folder / "serve" / "cases" / "_.jsonl")[-1]


def test_a_question_becomes_a_case_with_its_answers_and_the_cited_places(visit: Open, site: Site) -> None:
    page = visit().page
    dialog = opened(page)
    first = dialog.get_by_label("Answer 1", exact=True)
    assert first.input_value() == ""
    dialog.get_by_role("button", name="Take as an answer: The kettle holds two litres").first.click()
    assert first.input_value().startswith("The kettle holds two litres of water")
    assert page.evaluate("document.activeElement.ariaLabel") == "Answer 1"
    page.keyboard.type("two litres")
    dialog.get_by_role("button", name="Accept another answer").click()
    page.keyboard.type("2 l")
    dialog.get_by_role("button", name="Accept another answer").click()
    page.keyboard.type("wrong")
    dialog.get_by_role("button", name="Remove answer 3").click()
    picture(page, "case-desktop")
    assert serious(page) == []
    dialog.get_by_role("button", name="Save the case").click()
    page.get_by_text("with 2 accepted answers and 1 place as its evidence").first.wait_for()
    assert dialog.count() == 0
    case = last_case(site)
    assert (case.question, case.answers) == ("How much water does the kettle hold?", ("two litres", "2 l"))
    assert case.evidence[0].document == "_/kettle.md"
    assert case.evidence[0].quote.startswith("The kettle holds two litres")
    picture(page, "ask-saved")


def test_of_a_bad_answer_no_place_is_chosen_and_another_passage_can_be(visit: Open, site: Site) -> None:
    page = visit().page
    ask(page, "How much water does the kettle hold?")
    page.get_by_role("button", name="Bad answer").click()
    page.get_by_text("Noted.").first.wait_for()
    page.get_by_role("button", name="Save as evaluation case").click()
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_role("checkbox", checked=True).count() == 0
    dialog.get_by_text("Other passages that were found").click()
    dialog.get_by_label("_/warranty-and-returns.pdf, page 1").first.check()
    dialog.get_by_role("button", name="Save the case").click()
    page.get_by_text("with 0 accepted answers and 1 place as its evidence").first.wait_for()
    case = last_case(site)
    assert (case.evidence[0].document, case.evidence[0].pages) == ("_/warranty-and-returns.pdf", (1,))


def test_that_the_documents_cannot_answer_is_a_case_too(visit: Open, site: Site) -> None:
    page = visit().page
    dialog = opened(page, "Who won the chess championship of Andromeda?")
    assert dialog.get_by_label("The documents cannot answer it").is_checked()
    assert not dialog.get_by_role("group", name="Accepted answers").is_visible()
    dialog.get_by_role("button", name="Cancel").click()
    dialog.wait_for(state="detached")
    assert page.evaluate("document.activeElement.textContent") == "Save as evaluation case"
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Save the case").click()
    page.get_by_text("as a question that the documents do not answer").first.wait_for()
    assert (last_case(site).answerable, last_case(site).answers) == (False, ())


@pytest.mark.errors_expected
def test_what_the_server_refuses_is_told_in_the_dialog(visit: Open, site: Site) -> None:
    page = visit("acme").page
    with site.client("acme") as client:
        assert upload(client, "shed.md", b"# Shed\n\nThe kettle of acme stands in the green shed.\n")["state"] == "done"
        ask(page, "Where does the kettle of acme stand?")
        assert client.delete("/v1/documents/acme/shed.md").status_code == 200
    page.get_by_role("button", name="Save as evaluation case").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Other passages that were found").click()
    dialog.get_by_label("acme/shed.md").first.check()
    dialog.get_by_role("button", name="Save the case").click()
    dialog.get_by_role("alert").wait_for()
    assert dialog.get_by_role("button", name="Save the case").is_enabled()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_dialog_fits_a_phone(visit: Open, dark: bool) -> None:
    page = visit(width=390, dark=dark).page
    dialog = opened(page)
    dialog.get_by_role("button", name="Take as an answer: The kettle holds two litres").first.click()
    assert fits(page)
    assert dialog.evaluate("one => one.scrollWidth <= one.clientWidth")
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/case-phone-{'dark' if dark else 'light'}.png")
    assert serious(page) == []


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
