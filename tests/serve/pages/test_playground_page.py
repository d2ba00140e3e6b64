"""The playground: settings side by side for one question, recall on the saved cases, and into the config."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.serve.pages.conftest import Open, Site, fits, picture, serious

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.integration

QUESTION = "How much water does the kettle hold?"


@pytest.fixture(scope="module", autouse=True)
def saved(site: Site) -> None:
    with site.client("root") as client:
        body = {"question": QUESTION, "evidence": [{"document": "_/kettle.md", "quote": "two litres of water"}]}
        assert client.post("/v1/cases", json=body).status_code == 201


def playground(visit: Open, name: str = "root", **settings: Any) -> Page:
    page = visit(name, **settings).page
    page.get_by_role("link", name="Playground").click()
    page.get_by_role("heading", name="Column B").wait_for()
    return page


def test_settings_are_compared_side_by_side(visit: Open) -> None:
    page = playground(visit)
    second = page.get_by_role("region", name="Column B")
    second.get_by_label("Strategy").select_option("sparse")
    page.get_by_label("Question").fill(QUESTION)
    page.keyboard.press("Enter")
    second.locator(".passages .tag", has_text="A: 1").first.wait_for()
    first = page.get_by_role("region", name="Column A")
    assert "meaning 1" in first.locator(".passages li").first.inner_text()
    assert "meaning" not in second.locator(".passages").inner_text()
    page.get_by_role("button", name="Recall on").click()
    second.locator(".recall", has_text="Recall in the first 10: 100%").wait_for()
    first.locator(".recall").wait_for()
    page.get_by_role("button", name="Add a column").click()
    page.get_by_role("heading", name="Column C").wait_for()
    picture(page, "playground-desktop")
    assert serious(page) == []


def test_a_saved_case_can_be_taken_out_again(visit: Open, site: Site) -> None:
    with site.client("acme") as client:
        body = {"question": "What does acme sell?", "evidence": [{"document": "acme/plan.md", "quote": "apples"}]}
        assert client.post("/v1/cases", json=body).status_code == 201
        page = playground(visit, "acme")
        assert page.get_by_role("button", name="Recall on 1 saved case").is_enabled()
        page.get_by_text("Saved cases", exact=True).click()
        page.get_by_role("button", name="Delete the case: What does acme sell?").click()
        page.get_by_text("Recall needs saved cases").wait_for()
        assert page.get_by_role("button", name="Recall on 0 saved cases").is_disabled()
        assert client.get("/v1/cases").json() == {"cases": []}


def test_it_fits_a_phone_in_the_dark(visit: Open) -> None:
    page = playground(visit, width=360, dark=True)
    page.get_by_role("region", name="Column A").get_by_text("More settings").click()
    assert fits(page)
    picture(page, "playground-phone-dark")
    assert serious(page) == []


def test_one_click_writes_a_column_into_the_config(visit: Open, site: Site) -> None:
    page = playground(visit)
    first = page.get_by_role("region", name="Column A")
    page.get_by_label("Question").fill(QUESTION)
    first.get_by_label("Results").fill("9")
    first.get_by_role("button", name="Write into the config").click()
    dialog = page.get_by_role("dialog")
    assert "top_k: 10 → 9" in dialog.inner_text()
    dialog.get_by_role("button", name="Write").click()
    page.get_by_text("Written and in force: retrieval.top_k: 9.").wait_for()
    assert page.get_by_role("region", name="Column A").get_by_label("Results").input_value() == "9"
    assert page.get_by_label("Question").input_value() == QUESTION
    assert (site.folder / "ragkit.yaml").read_text(encoding="utf-8").startswith("# Settings of a test.")
    with site.client("root") as client:
        client.post("/v1/playground/config", json={"settings": {"top_k": 10}})


def test_who_is_no_operator_writes_nothing(visit: Open) -> None:
    for name in ("acme", "umbrella"):
        page = playground(visit, name)
        assert page.get_by_role("button", name="Write into the config").count() == 0
        page.get_by_label("Question").fill(QUESTION)
        page.keyboard.press("Enter")
        page.get_by_role("region", name="Column A").locator(".passages li").first.wait_for()
        assert "kettle" not in page.locator(".columns").inner_text()
