"""The playground: settings side by side for one question, recall on the saved cases, and into the config."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from tests.rerank.test_cross_encoder import build
from tests.serve.pages.conftest import SHOTS, Open, Site, fits, picture, serious
from tests.serve.serving import KETTLE, LAMP, process, service, settings_in, upload

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.integration

QUESTION = "How much water does the kettle hold?"


@pytest.fixture(scope="module", autouse=True)
def saved(site: Site) -> None:
    """One case, and none that the tests of other pages saved: they hold places that no search finds."""
    with site.client("root") as client:
        for case in client.get("/v1/cases").json()["cases"]:
            assert client.delete(f"/v1/cases/{case['id']}").json() == {"removed": True}
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


MINI = "ms-marco-MiniLM-L-6-v2"


@pytest.fixture(scope="module")
def with_reranker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that asks no language model, with one reranker of the catalogue: a small one of our own
    under its name, where the Hub's client puts it."""
    folder = tmp_path_factory.mktemp("reranker")
    repo = folder / "hub" / f"models--cross-encoder--{MINI}"
    shutil.copytree(build(folder, "Sigmoid"), repo / "snapshots" / "abc")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch, service() as (url, _):
        patch.setenv("HF_HUB_CACHE", str(folder / "hub"))
        (folder / "ragkit.yaml").write_text(yaml.safe_dump(settings_in(folder, url)), encoding="utf-8")
        with process(folder) as (_, address), httpx.Client(base_url=address, timeout=120) as client:
            upload(client, "kettle.md", KETTLE)
            upload(client, "lamp.md", LAMP)
            body = {"question": QUESTION, "evidence": [{"document": "_/kettle.md", "quote": "two litres of water"}]}
            assert client.post("/v1/cases", json=body).status_code == 201
            yield address


def test_a_reranker_of_the_catalogue_is_tried_beside_what_is_in_force(visit: Open, with_reranker: str) -> None:
    page = playground(visit, "", address=with_reranker)
    first, second = (page.get_by_role("region", name=f"Column {name}") for name in "AB")
    second.get_by_label("Reranker", exact=True).select_option(MINI)
    page.get_by_label("Question", exact=True).fill(QUESTION)
    page.keyboard.press("Enter")
    second.locator(".passages .tag").first.wait_for()
    assert "reranked 1" in second.locator(".passages li").first.inner_text()
    assert "reranked" not in first.locator(".passages").inner_text()
    page.get_by_role("button", name="Recall on").click()
    second.locator(".recall", has_text="Recall in the first 10: 100%").wait_for()
    assert serious(page) == []
    picture(page, "playground-reranker")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_one_that_is_not_here_is_shown_with_the_command_that_fetches_it(
    visit: Open, with_reranker: str, dark: bool
) -> None:
    page = playground(visit, "", address=with_reranker, width=390, dark=dark)
    column = page.get_by_role("region", name="Column A")
    reranker = column.get_by_label("Reranker", exact=True)
    assert "bge-reranker-base, 1.1 GB (not on this machine)" in reranker.inner_text()
    reranker.select_option("bge-reranker-base")
    assert column.get_by_role("status").locator("code").inner_text() == "ragkit models fetch bge-reranker-base"
    page.get_by_label("Question", exact=True).fill(QUESTION)
    page.keyboard.press("Enter")
    page.get_by_role("region", name="Column B").locator(".passages li").first.wait_for()
    assert column.locator(".passages").count() == 0
    assert column.get_by_text("ragkit models fetch bge-reranker-base").count() == 2
    reranker.select_option("bge-reranker-v2-m3")
    assert "too large to be loaded for a trial" in column.get_by_role("status").inner_text()
    assert fits(page)
    assert serious(page) == []
    if SHOTS:
        reranker.scroll_into_view_if_needed()
        page.screenshot(path=Path(SHOTS) / f"playground-missing-{'dark' if dark else 'light'}.png")


def test_changes_of_the_question_are_tried(visit: Open, with_reranker: str) -> None:
    page = playground(visit, "", address=with_reranker)
    for name in "AB":
        column = page.get_by_role("region", name=f"Column {name}")
        column.get_by_label("Strategy").select_option("sparse")
        column.get_by_text("More settings").click()
    spelling = page.get_by_role("region", name="Column B").get_by_label("Correct the spelling")
    spelling.focus()
    page.keyboard.press("Space")
    page.get_by_label("Question", exact=True).fill("ketle")
    page.keyboard.press("Enter")
    page.get_by_role("region", name="Column B").locator(".passages li").first.wait_for()
    page.get_by_role("region", name="Column A").get_by_text("0 passages").wait_for()
    assert "_/kettle.md" in page.get_by_role("region", name="Column B").locator(".passages li").first.inner_text()
    picture(page, "playground-changes")
    assert serious(page) == []


def test_what_would_ask_the_language_model_is_not_tried(visit: Open) -> None:
    page = playground(visit)
    column = page.get_by_role("region", name="Column A")
    column.get_by_text("More settings").click()
    assert column.get_by_label("Correct the spelling").is_enabled()
    for name in ("Search other wordings too", "Search each part of it too", "Search an imagined answer (HyDE)"):
        assert column.get_by_label(name).is_disabled()
    assert column.get_by_text("What asks the language model is not tried here").is_visible()


def test_changes_of_the_question_are_written_and_those_that_are_not_tried_stay(visit: Open, site: Site) -> None:
    with site.client("root") as client:
        body: dict[str, Any] = {"settings": {}, "transforms": ["hyde", "spelling"]}
        done = client.post("/v1/playground/config", json=body).json()
        assert done == {"written": {"retrieval.transforms": ["spelling", "hyde"]}, "in_force": True}
        page = playground(visit)
        column = page.get_by_role("region", name="Column A")
        column.get_by_text("More settings").click()
        assert column.get_by_label("Search an imagined answer (HyDE)").is_checked()
        column.get_by_label("Correct the spelling").uncheck()
        column.get_by_label("Write out acronyms").check()
        column.get_by_role("button", name="Write into the config").click()
        dialog = page.get_by_role("dialog")
        assert "changes of the question: acronyms, hyde" in dialog.inner_text()
        picture(page, "playground-write-changes")
        dialog.get_by_role("button", name="Write").click()
        page.get_by_text("Written and in force: retrieval.transforms: [hyde, acronyms].").wait_for()
        written = yaml.safe_load((site.folder / "ragkit.yaml").read_text(encoding="utf-8"))
        assert written["retrieval"]["transforms"] == ["hyde", "acronyms"]
        assert client.post("/v1/playground/config", json={"settings": {}, "transforms": []}).json()["in_force"]
