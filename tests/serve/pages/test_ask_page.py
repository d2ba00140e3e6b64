"""The page to ask on: sign-in, streaming, stopping, marks, citations, and that text stays text."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import yaml

from tests.serve.pages.conftest import Open, Site, ask, fits, picture, serious
from tests.serve.serving import KETTLE, process, service, settings_in, upload

pytestmark = pytest.mark.integration


def test_the_page_may_run_nothing_but_its_own_files(site: Site) -> None:
    answer = httpx.get(site.address)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:" in policy
    assert "unsafe" not in policy
    for name in ("style=", "<style", "onclick", "http:"):
        assert name not in answer.text
    same = httpx.get(f"{site.address}/pages/app.js")
    assert same.headers["content-type"].startswith("text/javascript")
    again = httpx.get(f"{site.address}/pages/app.js", headers={"If-None-Match": same.headers["etag"]})
    assert again.status_code == 304
    for path in ("/pages/none.js", "/pages/..%2fapp.py", "/pages/%2e%2e/app.py", "/pages/"):
        assert httpx.get(site.address + path).status_code == 404


@pytest.mark.errors_expected
def test_a_key_is_typed_once_and_kept_in_the_tab(visit: Open, site: Site) -> None:
    page = visit("").page
    page.get_by_role("heading", name="Sign in").wait_for()
    picture(page, "sign-in")
    assert serious(page) == []
    assert page.evaluate("document.activeElement.name") == "key"
    page.keyboard.type("rk_wrong_key")
    page.keyboard.press("Enter")
    page.get_by_text("This key is not valid").wait_for()
    page.keyboard.type(site.text("acme"))
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Ask", exact=True).wait_for()
    assert "acme of acme, admin" in page.locator("#who").inner_text()
    assert page.evaluate("document.cookie") == ""
    assert "rk_" not in page.url
    page.reload()
    page.get_by_role("heading", name="Ask", exact=True).wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    assert page.evaluate("sessionStorage.length") == 0


def test_without_keys_this_machine_is_not_asked_to_sign_in(tmp_path: Path, visit: Open) -> None:
    with service() as (url, _):
        (tmp_path / "ragkit.yaml").write_text(yaml.safe_dump(settings_in(tmp_path, url)), encoding="utf-8")
        with process(tmp_path) as (_, address):
            page = visit("", address=address).page
            page.get_by_role("heading", name="Ask", exact=True).wait_for()
            assert "no key needed" in page.locator("#who").inner_text()


def test_an_answer_that_stands_in_for_a_models_says_so(tmp_path: Path, visit: Open) -> None:
    with service() as (url, _):
        endpoint = {"name": "gone", "backend": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
        routing = {"endpoints": [endpoint], "policy": "fallback", "deadline_s": 5.0, "wait_s": 0.5}
        settings = settings_in(tmp_path, url, routing=routing)
        (tmp_path / "ragkit.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        with process(tmp_path) as (_, address), httpx.Client(base_url=address, timeout=120) as client:
            upload(client, "kettle.md", KETTLE)
            page = visit("", address=address).page
            ask(page, "How much water does the kettle hold?")
            assert "Stand-in:" in page.locator("#answer .notice.warn").first.inner_text()
            assert "two litres" in page.locator("#answer .answer").inner_text()


def test_an_answer_comes_with_citations_marks_and_sources_beside(visit: Open) -> None:
    page = visit().page
    ask(page, "How much water does the kettle hold?")
    answer = page.locator("#answer")
    assert "The kettle holds two litres of water" in answer.inner_text()
    assert answer.locator(".unsupported").inner_text().strip().startswith("It can also fly to the moon")
    assert "underlined sentences are not backed" in answer.inner_text()
    citation = answer.get_by_role("link", name="Citation 1: _/kettle.md")
    assert "#/document?name=_%2Fkettle.md&start=" in (citation.get_attribute("href") or "")
    assert "kettle holds two litres" in answer.locator("blockquote").first.inner_text()
    sources = page.get_by_role("region", name="Sources")
    assert sources.locator("li.cited .place").inner_text().startswith("_/kettle.md")
    assert "words 1" in sources.locator("li.cited").inner_text()
    picture(page, "ask-desktop")
    assert serious(page) == []


def test_words_are_shown_as_they_come_and_can_be_stopped(visit: Open, site: Site) -> None:
    site.writer.pause_s = 0.4
    try:
        page = visit().page
        page.get_by_label("Question").fill("How much water does the kettle hold?")
        page.keyboard.press("Enter")
        page.locator("#answer[aria-busy=true] .streaming", has_text="The kettle").wait_for()
        assert "moon" not in page.locator("#answer").inner_text()
        assert page.locator("#sources li").count() > 0
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Stopped.").first.wait_for()
        assert page.locator("#answer").get_attribute("aria-busy") == "false"
        assert page.get_by_role("button", name="Ask", exact=True).is_enabled()
    finally:
        site.writer.pause_s = 0.0


def test_a_refusal_says_why(visit: Open) -> None:
    page = visit().page
    ask(page, "Who won the chess championship of Andromeda?")
    assert "No answer:" in page.locator("#answer .notice").inner_text()
    picture(page, "ask-refused")
    assert serious(page) == []


def test_markup_and_orders_in_documents_and_answers_stay_text(visit: Open) -> None:
    visited = visit()
    page = visited.page
    ask(page, "How much does the wrench weigh?")
    answer = page.locator("#answer")
    shown = answer.inner_text()
    for text in (
        "<script>window.owned = 1</script>",
        "onerror=",
        "[click here](javascript:",
        "[a picture](https://evil",
    ):
        assert text in shown
    for summary in page.locator("#sources summary").all():
        summary.click()
    assert "<script>window.owned = 1</script>" in page.locator("#sources").inner_text()
    assert page.evaluate("window.owned") is None
    assert page.locator("main img, main script, main a[href^=javascript], main a[href^=http]").count() == 0
    quoted = answer.locator(".cite").first.evaluate("node => node.previousSibling.textContent")
    assert quoted.startswith("The wrench weighs nine kilograms 🔧")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_a_phone(visit: Open, dark: bool) -> None:
    page = visit(dark=dark, width=360).page
    ask(page, "How much does the wrench weigh?")
    assert fits(page)
    picture(page, f"ask-phone-{'dark' if dark else 'light'}")
    assert serious(page) == []


def test_the_keyboard_alone_is_enough(visit: Open) -> None:
    page = visit().page
    page.get_by_role("heading", name="Ask", exact=True).wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) != "none"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "question"
    page.keyboard.type("How much water does the kettle hold?")
    page.keyboard.press("Enter")
    page.locator("#answer .facts").wait_for()
    for _ in range(4):
        page.keyboard.press("Tab")
        if "cite" in page.evaluate("document.activeElement.className"):
            break
    assert page.evaluate("document.activeElement.textContent") == "1"
    assert page.evaluate(outline) != "none"
