"""Filters on the page to ask on: conditions on fields of the index, as chips, kept with the question."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.serve.pages.conftest import Open, ask, fits, picture, serious

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.integration

QUESTION = "How long is the warranty?"


def opened(visit: Open, name: str = "root", **settings: object) -> Page:
    page = visit(name, **settings).page
    page.get_by_text("Filters", exact=True).click()
    page.get_by_label("Field").wait_for()
    return page


def add(page: Page, field: str, condition: str, value: str) -> None:
    page.get_by_label("Field").select_option(field)
    page.get_by_label("Condition").select_option(label=condition)
    page.get_by_label("Value").fill(value)
    page.keyboard.press("Enter")


def chips(page: Page) -> list[str]:
    return [text.removesuffix("×").strip() for text in page.locator(".chips li").all_inner_texts()]


def found(page: Page) -> set[str]:
    return set(page.locator("#sources .place a").all_inner_texts())


def test_conditions_are_chips_and_hold_for_what_is_found(visit: Open) -> None:
    page = opened(visit)
    add(page, "folder", "is", "_")
    add(page, "page_number", "at least", "2")
    assert chips(page) == ["folder is _", "page_number at least 2"]
    picture(page, "filters-desktop")
    assert serious(page) == []
    ask(page, QUESTION)
    assert found(page) == {"_/warranty-and-returns.pdf, page 2"}
    assert page.locator("#answer").get_by_text("Only where folder is _; page_number at least 2.").is_visible()
    page.get_by_role("button", name="Remove the filter: page_number at least 2").click()
    assert chips(page) == ["folder is _"]
    assert page.evaluate("document.activeElement.ariaLabel") == "Remove the filter: folder is _"
    page.keyboard.press("Enter")
    assert chips(page) == []
    assert page.evaluate("document.activeElement.textContent") == "Filters"
    ask(page, QUESTION)
    assert len(found(page)) > 1
    assert page.locator("#earlier").get_by_text("Only where folder is _;").is_visible()
    assert not page.locator("#answer").get_by_text("Only where").is_visible()


def test_of_several_values_of_a_field_one_is_enough(visit: Open) -> None:
    page = opened(visit)
    for name in ("_/kettle.md", "_/wrench.md"):
        add(page, "source_document", "is", name)
    ask(page, "How much water does the kettle hold?")
    assert found(page) == {"_/kettle.md", "_/wrench.md"}
    add(page, "source_document", "is not", "_/wrench.md")
    ask(page, "How much water does the kettle hold?")
    assert found(page) == {"_/kettle.md"}


@pytest.mark.parametrize(
    ("field", "condition", "value", "told"),
    [
        ("page_number", "at least", "two", "“two” is no number."),
        ("page_number", "is", "1e999", "is no number."),
        ("source_document", "is", "  ", "Give a value."),
    ],
)
def test_what_is_wrong_is_told_at_its_field(visit: Open, field: str, condition: str, value: str, told: str) -> None:
    page = opened(visit)
    add(page, field, condition, value)
    what = page.get_by_label("Value")
    assert what.get_attribute("aria-invalid") == "true"
    error = page.locator(f"#{what.get_attribute('aria-describedby')}")
    assert told in error.inner_text()
    assert page.evaluate("document.activeElement === document.querySelector('[aria-invalid]')")
    assert chips(page) == []
    assert serious(page) == []
    picture(page, "filters-wrong")
    what.fill("1")
    assert (what.get_attribute("aria-invalid"), error.inner_text()) == (None, "")
    page.keyboard.press("Enter")
    assert chips(page) == [f"{field} {condition} 1"]
    add(page, field, condition, "1")
    assert error.inner_text() == "This filter is in force already."


def test_what_is_typed_and_not_added_holds_too(visit: Open) -> None:
    page = opened(visit)
    page.get_by_label("Field").select_option("page_number")
    page.get_by_label("Value").fill("two")
    page.get_by_label("Question").fill(QUESTION)
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_text("“two” is no number.").wait_for()
    assert page.locator("article").count() == 0
    page.get_by_label("Value").fill("2")
    ask(page, QUESTION)
    assert chips(page) == ["page_number is 2"]
    assert found(page) == {"_/warranty-and-returns.pdf, page 2"}


def test_values_that_there_are_are_proposed(visit: Open) -> None:
    page = opened(visit)
    page.get_by_label("Field").select_option("source_document")
    names = page.eval_on_selector_all("datalist option", "all => all.map(one => one.value)")
    assert {"_/kettle.md", "acme/plan.md", "umbrella/plan.md"} <= set(names)
    own = opened(visit, "acme")
    own.get_by_label("Field").select_option("source_document")
    assert own.eval_on_selector_all("datalist option", "all => all.map(one => one.value)") == ["acme/plan.md"]


def test_filters_outlive_a_reload(visit: Open) -> None:
    page = opened(visit)
    add(page, "folder", "is", "_")
    ask(page, QUESTION)
    page.reload()
    page.locator("#answer .facts").wait_for()
    assert chips(page) == ["folder is _"]
    assert page.locator("#answer").get_by_text("Only where folder is _.").is_visible()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_keyboard_alone_is_enough_on_a_phone(visit: Open, dark: bool) -> None:
    page = visit(width=390, dark=dark).page
    page.get_by_label("Question").focus()
    for _ in range(4):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Filters":
            break
    page.keyboard.press("Enter")
    page.get_by_label("Field").wait_for()
    page.wait_for_function("document.activeElement.tagName === 'SELECT'")
    page.keyboard.type("page_number")
    page.keyboard.press("Tab")
    page.keyboard.type("at most")
    page.keyboard.press("Tab")
    page.keyboard.type("1")
    page.keyboard.press("Enter")
    assert chips(page) == ["page_number at most 1"]
    assert "Filter added" in page.locator("#status").inner_text()
    assert fits(page)
    picture(page, f"filters-phone-{'dark' if dark else 'light'}")
    assert serious(page) == []


def test_each_kind_of_field_becomes_the_filter_that_is_meant(visit: Open) -> None:
    conditions = [
        {"field": "old", "kind": "truth", "operator": "is", "value": "true"},
        {"field": "due", "kind": "date", "operator": "gte", "value": "2026-01-31"},
        {"field": "level", "kind": "any", "operator": "not", "value": "2"},
        {"field": "level", "kind": "any", "operator": "lt", "value": "2026-01-31"},
        {"field": "page_number", "kind": "number", "operator": "gt", "value": "2.5"},
    ]
    page = visit().page
    made = page.evaluate(
        f"import('/pages/filters.js').then(({{asFilters}}) => JSON.stringify(asFilters({json.dumps(conditions)})))"
    )
    assert json.loads(made) == [
        {"field": "old", "any": [True]},
        {"field": "due", "gte": "2026-01-31"},
        {"not": {"field": "level", "any": ["2", 2]}},
        {"field": "level", "lt": "2026-01-31"},
        {"field": "page_number", "gt": 2.5},
    ]
