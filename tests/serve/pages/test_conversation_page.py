"""Follow-up questions on the page to ask on: a conversation that lasts for a visit, and for nobody else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.serve.pages.conftest import REWRITTEN, SHOTS, Open, Site, ask, fits, picture, serious

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.integration

FIRST = "How much water does the kettle hold?"
NEXT = "And of what is it made?"


def kept(page: Page) -> dict[str, Any]:
    return json.loads(page.evaluate("sessionStorage.getItem('ragkit.conversation')"))


def talk(visit: Open, name: str = "root", **settings: Any) -> Page:
    page = visit(name, **settings).page
    ask(page, FIRST)
    ask(page, NEXT)
    page.locator("#earlier article").wait_for()
    return page


def test_a_question_may_point_back_and_is_shown_as_it_was_read(visit: Open, site: Site) -> None:
    from playwright.sync_api import expect

    page = talk(visit)
    answer = page.locator("#answer")
    assert answer.get_by_role("heading", name=NEXT).is_visible()
    assert answer.get_by_text(f"Read as: {REWRITTEN}").is_visible()
    before = page.get_by_role("region", name="Conversation so far").get_by_role("article", name=FIRST)
    assert "The kettle holds two litres" in before.inner_text()
    assert before.get_by_role("link", name="Citation 1: _/kettle.md").is_visible()
    assert "Read as" not in before.inner_text()
    assert not before.locator(".passages").is_visible()
    before.get_by_text("Citations and sources (").click()
    assert before.locator(".passages li").first.is_visible()
    assert before.get_by_role("button", name="Good answer").is_visible()
    picture(page, "conversation-desktop")
    assert serious(page) == []
    page.get_by_label("Question").scroll_into_view_if_needed()
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/conversation-below.png")
    expect(page.locator("#sources .place").first).to_be_in_viewport()
    with site.client("root") as client:
        turns = client.get(f"/v1/sessions/{kept(page)['id']}").json()["turns"]
    assert [turn["question"] for turn in turns] == [FIRST, REWRITTEN]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_conversation_fits_a_phone(visit: Open, dark: bool) -> None:
    page = talk(visit, dark=dark, width=390)
    page.get_by_text("Citations and sources (").click()
    assert fits(page)
    picture(page, f"conversation-phone-{'dark' if dark else 'light'}")
    assert serious(page) == []


def test_it_is_there_after_a_reload_and_goes_on(visit: Open) -> None:
    page = talk(visit)
    page.reload()
    page.locator("#answer .facts").wait_for()
    assert page.locator("#earlier article").count() == 1
    assert page.get_by_text(f"Read as: {REWRITTEN}").is_visible()
    assert page.locator("#sources .passages li").count() > 0
    assert page.evaluate("scrollY") > 0
    ask(page, "Why?")
    assert page.locator("#earlier article").count() == 2
    assert page.locator("#answer").get_by_role("heading", name="Why?").is_visible()


def test_from_a_citation_one_comes_back_to_the_same_place(visit: Open) -> None:
    page = talk(visit, width=390)
    citation = page.locator("#answer .cite").first
    citation.scroll_into_view_if_needed()
    citation.click()
    page.locator("#hit").wait_for()
    page.get_by_role("button", name="Back").click()
    page.get_by_role("heading", name="Ask", exact=True).wait_for()
    assert page.evaluate("scrollY") > 0
    assert page.locator("#earlier article").count() == 1


def test_a_new_conversation_knows_nothing_of_the_one_before(visit: Open, site: Site) -> None:
    page = talk(visit)
    name = kept(page)["id"]
    with page.expect_response(lambda answer: answer.request.method == "DELETE"):
        page.get_by_role("button", name="New conversation").click()
    assert page.locator("article").count() == 0
    assert page.evaluate("document.activeElement.name") == "question"
    assert not page.get_by_role("button", name="New conversation").is_visible()
    with site.client("root") as client:
        assert client.get(f"/v1/sessions/{name}").status_code == 404
    ask(page, NEXT)
    assert not page.get_by_text("Read as:").is_visible()
    assert kept(page)["id"] != name


@pytest.mark.errors_expected
def test_nothing_is_left_after_a_sign_out(visit: Open, site: Site) -> None:
    page = visit("").page
    page.get_by_label("API key").fill(site.text("reader"))
    page.keyboard.press("Enter")
    ask(page, FIRST)
    name = kept(page)["id"]
    with page.expect_response(lambda answer: answer.request.method == "DELETE"):
        page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    assert page.evaluate("sessionStorage.length") == 0
    with site.client("reader") as client:
        assert client.get(f"/v1/sessions/{name}").status_code == 404
    page.get_by_label("API key").fill(site.text("acme"))
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Ask", exact=True).wait_for()
    assert page.locator("article").count() == 0


@pytest.mark.errors_expected
def test_an_answer_under_way_is_not_kept_over_a_sign_out(visit: Open, site: Site) -> None:
    site.writer.pause_s = 0.4
    try:
        page = visit("").page
        page.get_by_label("API key").fill(site.text("reader"))
        page.keyboard.press("Enter")
        page.get_by_label("Question").fill(FIRST)
        page.keyboard.press("Enter")
        page.locator("#answer .streaming", has_text="The kettle").wait_for()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("heading", name="Sign in").wait_for()
        page.wait_for_timeout(1000)
        assert page.evaluate("sessionStorage.length") == 0
    finally:
        site.writer.pause_s = 0.0


@pytest.mark.errors_expected
def test_another_key_in_the_same_tab_sees_nothing_of_it(visit: Open, site: Site) -> None:
    page = visit("").page
    page.get_by_label("API key").fill(site.text("reader"))
    page.keyboard.press("Enter")
    ask(page, FIRST)
    page.evaluate("key => sessionStorage.setItem('ragkit.key', key)", site.text("umbrella"))
    page.reload()
    page.get_by_text("umbrella of umbrella").wait_for()
    assert page.locator("article").count() == 0
    assert "kettle" not in page.locator("main").inner_text()


def test_a_question_that_failed_or_was_stopped_can_be_asked_again(visit: Open, site: Site) -> None:
    page = visit().page
    ask(page, FIRST)
    site.writer.pause_s = 0.4
    try:
        page.get_by_label("Question").fill("How heavy is the wrench?")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Stop").click()
        page.locator("#answer").get_by_text("Stopped.").wait_for()
    finally:
        site.writer.pause_s = 0.0
    assert page.get_by_label("Question").input_value() == "How heavy is the wrench?"
    page.get_by_role("button", name="Ask", exact=True).click()
    page.locator("#answer .facts").wait_for()
    assert page.locator("#earlier article").count() == 1
    assert len(kept(page)["turns"]) == 2
