"""The journal of embeddings of a run that is not finished."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from ragkit.ingest.vectors import VectorJournal

VECTORS = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_what_was_put_is_there_after_reopening(tmp_path: Path) -> None:
    journal = VectorJournal(tmp_path / "v.sqlite", "model")
    assert len(journal) == 0
    journal.put(["one", "zwei 👩"], VECTORS)
    journal.close()
    journal = VectorJournal(tmp_path / "v.sqlite", "model")
    found = journal.get(["zwei 👩", "three", "one"])
    assert {text: vector.tolist() for text, vector in found.items()} == {"one": [0, 1, 2], "zwei 👩": [3, 4, 5]}
    journal.close()


def test_the_later_vector_of_a_text_counts(tmp_path: Path) -> None:
    journal = VectorJournal(tmp_path / "v.sqlite", "model")
    journal.put(["one", "two"], VECTORS)
    journal.put(["one"], VECTORS[1:])
    assert journal.get(["one"])["one"].tolist() == [3, 4, 5]
    assert len(journal) == 2
    journal.close()


def test_another_models_vectors_are_thrown_away(tmp_path: Path) -> None:
    journal = VectorJournal(tmp_path / "v.sqlite", "model")
    journal.put(["one", "two"], VECTORS)
    journal.close()
    journal = VectorJournal(tmp_path / "v.sqlite", "another")
    assert len(journal) == 0
    assert journal.get(["one"]) == {}
    journal.close()


def test_a_file_that_is_no_journal_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "v.sqlite"
    path.write_bytes(b"this is no database at all, " * 100)
    journal = VectorJournal(path, "model")
    journal.put(["one", "two"], VECTORS)
    assert len(journal) == 2
    journal.close()


def test_vectors_survive_the_death_of_their_process(tmp_path: Path) -> None:
    program = (
        "import os, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from ragkit.ingest.vectors import VectorJournal\n"
        "journal = VectorJournal(Path(sys.argv[1]), 'model')\n"
        "journal.put(['one', 'two'], np.arange(6, dtype=np.float32).reshape(2, 3))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    died = subprocess.run([sys.executable, "-c", program, str(tmp_path / "v.sqlite")], check=False)
    assert died.returncode == -9
    journal = VectorJournal(tmp_path / "v.sqlite", "model")
    assert journal.get(["two"])["two"].tolist() == [3, 4, 5]
    journal.close()


def test_a_look_up_does_not_read_all_vectors(tmp_path: Path) -> None:
    journal = VectorJournal(tmp_path / "v.sqlite", "model")
    texts = [f"text {number}" for number in range(5000)]
    journal.put(texts, np.zeros((5000, 2), dtype=np.float32))
    steps: list[int] = []
    journal._db.set_progress_handler(lambda: steps.append(100) or 0, 100)  # pyright: ignore[reportPrivateUsage]
    journal.get(texts[-3:])
    assert sum(steps) < 1000, "steps of the database's engine"
    journal.close()
