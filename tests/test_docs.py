"""What the documents name exists: files, functions, commands, keys."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from ragkit.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
DOCS = [ROOT / "README.md", ROOT / "docs" / "architecture.md", *sorted((ROOT / "docs" / "decisions").glob("*.md"))]


@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_files_named_in_a_document_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = set(
        re.findall(r"\b((?:ragkit|scripts|configs|docs|tests|eval)/[\w/.-]+\.(?:py|sh|md|yaml|jsonl?|svg))\b", text)
    )
    missing = [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_the_jumps_of_the_architecture_lead_somewhere() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    jumps = re.findall(r"`(ragkit/[\w/]+)\.py: ([\w.]+)`", text)
    assert len(jumps) >= 17
    for module, name in jumps:
        found: object = import_module(module.replace("/", "."))
        for part in name.split("."):
            found = getattr(found, part)


def test_a_question_is_followed_in_at_most_eleven_jumps() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.split("## Follow a question")[1].split("\n## ")[0]
    assert 5 <= len(re.findall(r"^\d+\. ", section, re.MULTILINE)) <= 11


def test_commands_in_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL))
    used = set(re.findall(r"^ragkit (\w+)", blocks, re.MULTILINE))
    assert used
    assert used <= COMMANDS.keys()
