"""A click on a citation opens the document at its characters; of a PDF the page, with the words marked."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from tests.serve.pages.conftest import Open, Site, ask, fits, picture, serious

pytestmark = pytest.mark.integration

PDF = "_/warranty-and-returns.pdf"


def test_a_citation_opens_the_document_at_its_characters(visit: Open) -> None:
    page = visit().page
    ask(page, "How much does the wrench weigh?")
    page.locator(".cite").first.click()
    page.get_by_role("heading", name="_/wrench.md").wait_for()
    hit = page.locator("mark#hit")
    hit.wait_for()
    assert hit.inner_text().endswith("weighs nine kilograms 🔧.")
    assert page.evaluate("document.activeElement.id") == "hit"
    text = page.get_by_role("region", name="Parsed text").inner_text()
    assert "<script>window.owned = 1</script>" in text
    assert page.evaluate("window.owned") is None
    assert page.locator("main img, main script").count() == 0
    page.get_by_role("button", name="Back").click()
    assert "nine kilograms" in page.locator("#answer").inner_text()


def test_a_citation_of_a_pdf_shows_its_page_with_the_words_marked(visit: Open) -> None:
    page = visit().page
    ask(page, "How long is the warranty?")
    quote = page.locator("#answer blockquote").first.inner_text()
    page.locator(".cite").first.click()
    page.locator(".paper .box").first.wait_for()
    assert page.locator("mark#hit").inner_text() == quote
    width = page.locator(".paper img").evaluate("image => image.naturalWidth")
    assert width in (1400, 1401)
    picture(page, "document-pdf-desktop")
    assert serious(page) == []
    last = page.get_by_role("button", name="Chunk").last
    last.click()
    assert last.get_attribute("aria-pressed") == "true"


def test_the_document_fits_a_phone_in_the_dark(visit: Open) -> None:
    visited = visit(dark=True, width=360)
    page = visited.page
    page.get_by_role("heading", name="Ask", exact=True).wait_for()
    visited.go("#/document?name=_%2Fwarranty-and-returns.pdf&start=40&end=200")
    page.locator(".paper .box").first.wait_for()
    assert fits(page)
    picture(page, "document-pdf-phone-dark")
    assert serious(page) == []


def test_the_marks_lie_on_ink_and_the_words_are_those_of_the_range(site: Site) -> None:
    with site.client("root") as client:
        document: dict[str, Any] = client.get(f"/v1/documents/{PDF}").json()
        sheet = client.get(f"/v1/sheets/1/{PDF}", params={"width": 1000})
        assert sheet.headers["content-type"] == "image/png"
        drawn = Image.open(io.BytesIO(sheet.content)).convert("L")
        assert drawn.width in (1000, 1001)
        for chunk in document["chunks"]:
            if chunk["page_number"] != 1:
                continue
            found = client.get(f"/v1/marks/1/{PDF}", params={"start": chunk["start"], "end": chunk["end"]}).json()
            assert found["marks"]
            for mark in found["marks"]:
                left, top = mark["left"] * drawn.width, mark["top"] * drawn.height
                part = drawn.crop(
                    (int(left), int(top), int(left + mark["width"] * drawn.width) + 1,
                     int(top + mark["height"] * drawn.height) + 1)
                )  # fmt: skip
                assert min(part.tobytes()) < 160, "there is ink under the mark"


@pytest.mark.parametrize(
    "path",
    [
        f"/v1/sheets/99/{PDF}",
        "/v1/sheets/1/_/kettle.md",
        "/v1/sheets/1/none.pdf",
        f"/v1/marks/99/{PDF}?start=0&end=5",
        "/v1/marks/1/none.pdf?start=0&end=5",
    ],
)
def test_what_is_no_page_of_a_pdf_is_not_found(site: Site, path: str) -> None:
    with site.client("root") as client:
        assert client.get(path).status_code == 404


def test_no_page_of_another_tenants_pdf_is_drawn(site: Site) -> None:
    with site.client("acme") as client:
        none = client.get("/v1/sheets/1/_/none.pdf")
        for path in (f"/v1/sheets/1/{PDF}", f"/v1/marks/1/{PDF}?start=0&end=9"):
            theirs = client.get(path)
            assert theirs.status_code == 404
            assert theirs.json()["error"]["message"] == none.json()["error"]["message"]
