"""Documents over HTTP: uploaded, indexed in the background, read, replaced, cancelled, deleted."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from reportlab.pdfgen.canvas import Canvas

from ragkit import Ragkit
from tests.serve.serving import KETTLE, LAMP, app_client, config_in, over, upload


def names(client: TestClient) -> list[str]:
    return [line["name"] for line in client.get("/v1/documents").json()["documents"]]


def pdf(line: str) -> bytes:
    file = BytesIO()
    canvas = Canvas(file)
    canvas.drawString(100, 700, line)
    canvas.save()
    return file.getvalue()


def test_an_upload_becomes_a_document(client: TestClient) -> None:
    sent = client.post("/v1/documents", files={"file": ("kettle.md", KETTLE)})
    assert sent.status_code == 202
    assert sent.headers["location"] == f"/v1/uploads/{sent.json()['id']}"
    done = over(client, sent.json()["id"])
    assert (done["state"], done["progress"], done["documents"]) == ("done", 1.0, ["_/kettle.md"])
    document = client.get("/v1/documents/_/kettle.md").json()
    assert document["text"].startswith("# Kettle")
    assert [document["text"][chunk["start"] : chunk["end"]] for chunk in document["chunks"]]
    assert client.get("/v1/uploads").json()["uploads"][0]["id"] == done["id"]


def test_a_document_that_is_uploaded_again_is_replaced(client: TestClient) -> None:
    upload(client, "kettle.md", KETTLE)
    upload(client, "kettle.md", KETTLE.replace(b"two litres", b"three litres"))
    assert names(client) == ["_/kettle.md"]
    assert "three litres" in client.get("/v1/documents/_/kettle.md").json()["text"]


def test_a_file_that_cannot_be_read_fails_with_its_reason_and_leaves_the_one_before(client: TestClient) -> None:
    first = upload(client, "broken.pdf", b"%PDF-1.4 this is none")
    assert first["state"] == "failed"
    assert first["reason"]
    assert names(client) == []
    content = pdf("The kettle holds two litres of water.")
    assert upload(client, "broken.pdf", content)["state"] == "done"
    assert upload(client, "broken.pdf", b"%PDF-1.4 this is none")["state"] == "failed"
    assert "two litres" in client.get("/v1/documents/_/broken.pdf").json()["text"]
    assert upload(client, "lamp.md", LAMP)["state"] == "done"
    assert names(client) == ["_/broken.pdf", "_/lamp.md"], "another run keeps it"


def test_a_deletion_ends_with_a_receipt_and_lasts(client: TestClient) -> None:
    upload(client, "kettle.md", KETTLE)
    upload(client, "lamp.md", LAMP)
    receipt = client.delete("/v1/documents/_/kettle.md").json()
    left = {"vectors": 0, "bm25": 0, "manifest": 0, "files": 0}
    assert receipt == {"deleted": "_/kettle.md", "documents": 1, "left": left, "returns": False}
    assert names(client) == ["_/lamp.md"]
    upload(client, "other.md", b"# Other\n\nAnother text.\n")
    assert names(client) == ["_/lamp.md", "_/other.md"], "the next run does not bring it back"
    assert client.delete("/v1/documents/_/kettle.md").status_code == 404


def test_a_document_of_the_operator_may_be_deleted_and_is_said_to_come_back(tmp_path: Path, model_url: str) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    (source / "kettle.md").write_bytes(KETTLE)
    config = config_in(tmp_path, model_url)
    with Ragkit(config) as rag:
        rag.index([source])
    with app_client(config) as client:
        upload(client, "lamp.md", LAMP)
        assert names(client) == ["_/lamp.md", "kettle.md"], "an upload leaves what came from elsewhere"
        assert client.delete("/v1/documents/kettle.md").json()["returns"]
        assert (source / "kettle.md").exists()
        assert names(client) == ["_/lamp.md"]


def test_documents_come_page_by_page(client: TestClient) -> None:
    for number in range(3):
        upload(client, f"{number}.md", b"# Title\n\nSome text.\n")
    first = client.get("/v1/documents?limit=2").json()
    assert [line["name"] for line in first["documents"]] == ["_/0.md", "_/1.md"]
    second = client.get("/v1/documents", params={"limit": 2, "after": first["next"]}).json()
    assert ([line["name"] for line in second["documents"]], second["next"]) == (["_/2.md"], None)


def test_what_the_config_hides_is_hidden_here_too(tmp_path: Path, model_url: str) -> None:
    hide = {"filters": [{"not": {"field": "source_document", "eq": "_/lamp.md"}}]}
    with app_client(config_in(tmp_path, model_url)) as client:
        upload(client, "kettle.md", KETTLE)
        upload(client, "lamp.md", LAMP)
        [chunk] = client.get("/v1/documents/_/lamp.md").json()["chunks"]
        assert client.get(f"/v1/chunks/{chunk['chunk_id']}").status_code == 200
    with app_client(config_in(tmp_path, model_url, retrieval=hide)) as client:
        assert names(client) == ["_/kettle.md"]
        assert client.get("/v1/documents/_/lamp.md").status_code == 404
        assert client.get(f"/v1/chunks/{chunk['chunk_id']}").status_code == 404


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [("a.exe", b"x", 415), (".hidden.md", b"x", 400), ("a.md", b"", 400), ("rows.jsonl", b"{}", 415)],
)
def test_what_is_no_document_is_refused(client: TestClient, name: str, content: bytes, status: int) -> None:
    assert client.post("/v1/documents", files={"file": (name, content)}).status_code == status
    assert client.get("/v1/uploads").json() == {"uploads": []}


def test_an_upload_that_waits_or_is_indexed_can_be_cancelled(client: TestClient) -> None:
    text = b"".join(b"## Part %d\n\nSentence number %d of a long text.\n\n" % (n, n) for n in range(5000))
    sent = client.post("/v1/documents", files={"file": ("long.md", text)}).json()
    client.delete(f"/v1/uploads/{sent['id']}")
    assert over(client, sent["id"])["state"] == "cancelled"
    assert upload(client, "kettle.md", KETTLE)["state"] == "done"
    assert names(client) == ["_/kettle.md"]
