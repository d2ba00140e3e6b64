"""The dashboard: figures of all for an operator, of its own for a tenant, none for who may not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.serve.pages.conftest import Open, Site, fits, picture, serious

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", autouse=True)
def asked(site: Site) -> None:
    for name in ("root", "acme", "umbrella"):
        with site.client(name) as client:
            client.post("/v1/ask", json={"question": "How much water does the kettle hold?"})


def dashboard(visit: Open, name: str = "root", **settings: Any) -> Page:
    page = visit(name, **settings).page
    page.get_by_role("link", name="Dashboard").click()
    page.locator(".tiles").wait_for()
    return page


def test_an_operator_sees_latency_cost_and_tokens_of_every_key_and_tenant(visit: Open) -> None:
    page = dashboard(visit)
    tables = page.locator("main").inner_text()
    for text in ("Median time", "95% within", "Refused", "From the cache", "Cost by key", "Cost by tenant"):
        assert text in tables
    spent = page.get_by_role("region", name="Cost by tenant").inner_text()
    assert "acme" in spent
    assert re.search(r"\$0\.\d+", page.get_by_role("region", name="Cost by model").inner_text())
    assert "HTTP requests since" in tables
    page.get_by_label("Period").select_option("7 days")
    page.get_by_text("The figures are loaded.").wait_for(state="attached")
    picture(page, "dashboard-desktop")
    assert serious(page) == []


def test_a_tenant_sees_nothing_of_another_and_it_fits_a_phone(visit: Open) -> None:
    page = dashboard(visit, "acme", width=360, dark=True)
    shown = page.locator("main").inner_text()
    assert "acme" in shown
    for others in ("umbrella", "root", "HTTP requests"):
        assert others not in shown
    assert fits(page)
    picture(page, "dashboard-phone-dark")
    assert serious(page) == []


def test_who_is_no_admin_is_not_led_there(visit: Open) -> None:
    visited = visit("umbrella")
    page = visited.page
    page.get_by_role("heading", name="Ask", exact=True).wait_for()
    assert page.get_by_role("link", name="Dashboard").count() == 0
    visited.go("#/dashboard")
    page.get_by_text("This page needs a key of role admin.").wait_for()
