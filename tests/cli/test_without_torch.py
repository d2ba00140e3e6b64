"""Short commands do not wait for torch: what they import, in processes of their own over a real model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

PROGRAM = """
import sys
from ragkit.cli.main import main
sys.argv = ["ragkit", *sys.argv[1:]]
code = main()
print("IMPORTED", [name for name in ("torch", "transformers", "sentence_transformers") if name in sys.modules])
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("system")
    (folder / "hub.md").write_text("# Hub\n\nThe hub needs port 8443. Its battery lasts ten hours.\n", "utf-8")
    file = folder / "ragkit.yaml"
    file.write_text(
        f"ingestion:\n  sources: [{folder / 'hub.md'}]\n  store: {{path: {folder / 'index'}}}\n"
        "  embedding: {device: cpu}\n",
        "utf-8",
    )
    return file


def run(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def test_neither_indexing_nor_searching_nor_asking_imports_it(config: Path) -> None:
    run("index", "-c", str(config))  # the first time on a machine it exports the model, in another process
    for command in (["index", "--rebuild"], ["search", "Which port?"], ["ask", "Which port does the hub need?"]):
        printed = run(*command, "-c", str(config))
        assert "IMPORTED []" in printed
    assert "8443" in printed
