"""The library: uploads with progress and failures, parsed text beside chunks, deletion with its receipt."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.serve.pages.conftest import Open, Site, fits, picture, serious

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.integration


def library(visit: Open, name: str = "root", **settings: Any) -> Page:
    visited = visit(name, **settings)
    visited.page.get_by_role("heading", name="Ask", exact=True).wait_for()
    visited.page.get_by_role("link", name="Library").click()
    visited.page.get_by_role("heading", name="Library").wait_for()
    visited.page.get_by_role("link", name=re.compile("plan.md|kettle.md")).first.wait_for()
    return visited.page


def test_a_document_is_uploaded_read_and_deleted(visit: Open) -> None:
    page = library(visit)
    spade = {"name": "spade.md", "mimeType": "text/markdown", "buffer": b"# Spade\n\nThe spade is <b>sharp</b>.\n"}
    page.get_by_label("Upload documents").set_input_files([spade])  # pyright: ignore[reportArgumentType]
    table = page.get_by_role("region", name="Documents", exact=True)
    table.get_by_role("link", name="_/spade.md").wait_for()
    picture(page, "library-desktop")
    assert serious(page) == []
    table.get_by_role("link", name="_/spade.md").click()
    page.get_by_role("region", name="Parsed text").get_by_text("The spade is <b>sharp</b>.").wait_for()
    page.get_by_role("button", name="Chunk 1").click()
    assert "sharp" in page.locator("mark#hit").inner_text()
    page.get_by_role("button", name="Back").click()
    delete = page.get_by_role("button", name="Delete _/spade.md")
    delete.click()
    dialog = page.get_by_role("dialog")
    assert page.evaluate("document.activeElement.textContent") == "Keep"
    page.keyboard.press("Escape")
    assert dialog.count() == 0
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Delete _/spade.md"
    delete.click()
    dialog.get_by_role("button", name="Delete").click()
    receipt = page.get_by_role("region", name="Receipt")
    receipt.wait_for()
    for where in ("vectors: 0", "bm25: 0", "manifest: 0"):
        assert where in receipt.inner_text()
    picture(page, "library-receipt")
    table.get_by_role("link", name="_/spade.md").wait_for(state="detached")


@pytest.mark.errors_expected
def test_what_cannot_be_indexed_says_why(visit: Open) -> None:
    page = library(visit, "acme", width=360, dark=True)
    broken = {"name": "broken.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7 and nothing more"}
    wrong = {"name": "tool.exe", "mimeType": "application/octet-stream", "buffer": b"MZ"}
    page.get_by_label("Upload documents").set_input_files([broken, wrong])  # pyright: ignore[reportArgumentType]
    page.get_by_text("files of type .exe are not taken").wait_for()
    failed = page.get_by_role("list", name="Last uploads").locator("li", has_text="broken.pdf").first
    failed.locator(".state.failed").wait_for()
    assert len(failed.inner_text()) > len("broken.pdf failed")
    assert fits(page)
    picture(page, "library-phone-dark")
    assert serious(page) == []


def test_an_upload_can_be_cancelled(visit: Open, site: Site) -> None:
    """One that waits behind others, so that there is time to."""
    page = library(visit, "umbrella")
    text = b"".join(b"The hedge number %d is green and grows by the house.\n\n" % number for number in range(1500))
    hedges = [{"name": f"hedge{number}.md", "mimeType": "text/markdown", "buffer": text} for number in range(3)]
    page.get_by_label("Upload documents").set_input_files(hedges)  # pyright: ignore[reportArgumentType]
    page.get_by_role("list", name="Last uploads").get_by_role("button", name="Cancel hedge2.md").click()
    listed = page.get_by_role("list", name="Last uploads").locator("li", has_text="hedge2.md").first
    listed.locator(".state.cancelled").wait_for()
    with site.client("umbrella") as client:
        for upload in client.get("/v1/uploads").json()["uploads"]:
            client.delete(f"/v1/uploads/{upload['id']}")
        while any(one["state"] in ("queued", "indexing") for one in client.get("/v1/uploads").json()["uploads"]):
            time.sleep(0.2)
        assert "umbrella/hedge2.md" not in client.get("/v1/documents").text


def test_a_tenant_sees_its_own_library_and_a_reader_changes_nothing(visit: Open) -> None:
    page = library(visit, "acme")
    shown = page.locator("main").inner_text()
    assert "acme/plan.md" in shown
    for others in ("umbrella", "kettle", "zanzibar"):
        assert others not in shown
    page = library(visit, "reader")
    assert page.get_by_role("button", name=re.compile("Delete")).count() == 0
    assert page.get_by_label("Upload documents").count() == 0
