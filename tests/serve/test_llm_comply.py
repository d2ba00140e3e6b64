"""What llm-comply, a checker of OpenAI-compatible servers by others, finds of ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from tests.serve.serving import KETTLE, key, process, service, settings_in, upload

pytestmark = pytest.mark.integration

EXCEPT = {
    "chat-tool-calling": "failed",  # answers come from documents; no tool of the caller's is called
    "chat-reasoning-summary": "skipped",  # the checker asks it of models of OpenAI's own only
}


def test_every_check_that_applies_to_an_answering_server_passes(tmp_path: Path) -> None:
    with service() as (url, _):
        generation = {"backend": "openai", "model": "m", "base_url": url, "refusal": {"min_confidence": 0.0}}
        settings = settings_in(tmp_path, url, generation=generation)
        (tmp_path / "ragkit.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        headers = key(tmp_path, "checker", role="write")
        with process(tmp_path) as (_, address):
            with httpx.Client(base_url=address, timeout=60) as client:
                upload(client, "kettle.md", KETTLE, headers)
                model = client.get("/v1/models", headers=headers).json()["data"][0]["id"]
            secret = headers["Authorization"].removeprefix("Bearer ")
            command = [sys.executable, "-m", "llm_comply.cli", "--format", "openai-chat", "--json"]
            done = subprocess.run(
                [*command, "-u", f"{address}/v1", "-k", secret, "-m", model],
                capture_output=True,
                text=True,
                check=False,
            )
    assert done.stdout, done.stderr
    outcomes = {each["id"]: each for each in json.loads(done.stdout)["results"]}
    assert len(outcomes) == 9
    other = {name: each["status"] for name, each in outcomes.items() if each["status"] != "passed"}
    assert other == EXCEPT, json.dumps(outcomes, indent=1)
