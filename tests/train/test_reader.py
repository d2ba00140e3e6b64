"""Training a reader on a small but real model: it finds the answer or none, goes on, and loads without torch."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from ragkit.errors import ModelError
from ragkit.generate.reader import Reader
from ragkit.train.export import export_int8
from ragkit.train.reader import Encoded, ReaderSettings, encoded, margins, reader_network, train_reader
from ragkit.train.reading import ReadingExample, look_alikes, off_topic, read_reading

ANIMALS = ("cat", "dog", "horse", "mouse", "fox", "bear", "wolf", "duck", "fish", "bird")
SETTINGS = ReaderSettings(epochs=300, batch=20, frozen=0, rate=5e-3, average=0.9)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model of the test beside this one."""
    spec = importlib.util.spec_from_file_location("small_model", Path(__file__).with_name("test_cross_encoder.py"))
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build(tmp_path_factory.mktemp("reader") / "base")


def examples() -> list[ReadingExample]:
    """Each animal with its own house, which answers, and with another's, which does not."""
    found: list[ReadingExample] = []
    for number, animal in enumerate(ANIMALS):
        passage = f"The {animal} is in house {number}."
        place = passage.index(f"house {number}")
        question = f"where is the {animal}"
        found.append(ReadingExample(question, passage, (place, place + 7), animal, (f"house {number}",)))
        other = ANIMALS[(number + 3) % 10]
        found.append(ReadingExample(f"where is the {other}", passage, None, animal))
    return found


def tokens(base: Path, given: list[ReadingExample]) -> list[Encoded]:
    made = encoded(given, Tokenizer.from_file(str(base / "tokenizer.json")), 32)
    return [one for one in made if one is not None]


@pytest.mark.integration
def test_it_marks_the_answer_or_none_and_the_exported_model_agrees(base: Path, tmp_path: Path) -> None:
    given = examples()
    learned = tokens(base, given)
    network = reader_network(base, None, frozen=0, seed=1)
    done = train_reader(network, learned, SETTINGS)
    assert done["loss"] < 0.5
    found = margins(network, learned)
    answerable = np.asarray([one.span is not None for one in given])
    assert ((found[:, 0] > 0) == answerable).mean() >= 0.9

    export_int8(network, base, tmp_path / "model", window=32, outputs=("start_logits", "end_logits"))
    reader = Reader(tmp_path / "model")
    read = [reader.read(one.question, [one.passage])[0] for one in given]
    assert np.mean([(one.margin > 0) == yes for one, yes in zip(read, answerable, strict=True)]) >= 0.9
    marked = [one.passage[r.start : r.end] for one, r in zip(given, read, strict=True) if one.span is not None]
    assert np.mean([m == f"house {n}" for n, m in enumerate(marked)]) >= 0.8
    # A batch reads as one by one, padded or not; the same question is not read twice.
    together = reader.read("where is the cat", [given[0].passage, given[0].passage + " It is a large house of stone."])
    assert together[0].margin == pytest.approx(read[0].margin, abs=0.2)
    assert reader.read("where is the cat", [given[0].passage, given[0].passage + " It is a large house of stone."]) is (
        together
    )


def test_an_answer_beyond_the_window_is_no_lesson(base: Path) -> None:
    passage = "word " * 40 + "house 7"
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    [beyond, before] = encoded(
        [
            ReadingExample("where", passage, (len(passage) - 7, len(passage)), "a"),
            ReadingExample("where", passage, (0, 4), "a"),
        ],
        tokenizer,
        32,
    )
    assert beyond is None
    assert before is not None
    assert (before.start, before.end) == (before.second, before.second)


@pytest.mark.integration
def test_it_goes_on_from_its_checkpoint_to_the_same_weights(base: Path, tmp_path: Path) -> None:
    learned = tokens(base, examples())
    settings = ReaderSettings(epochs=5, batch=10, frozen=1, rate=1e-3, average=0.5, save_every_s=0.0)
    whole = reader_network(base, None, frozen=1, seed=1)
    train_reader(whole, learned, settings)

    class Stopped(Exception):
        pass

    def stop(step: int, done: float, loss: float) -> None:
        if step == 6:
            raise Stopped

    broken = reader_network(base, None, frozen=1, seed=1)
    with pytest.raises(Stopped):
        train_reader(broken, learned, settings, checkpoint=tmp_path / "state", progress=stop)
    steps: list[int] = []
    again = reader_network(base, None, frozen=1, seed=1)
    train_reader(
        again, learned, settings, checkpoint=tmp_path / "state", progress=lambda step, done, loss: steps.append(step)
    )
    assert steps[0] == 6  # the step that was cut off before it was kept
    for name, one in whole.named_parameters():
        assert np.allclose(one.detach().numpy(), dict(again.named_parameters())[name].detach().numpy(), atol=1e-6), name


def test_frozen_layers_and_embeddings_stay(base: Path) -> None:
    network = reader_network(base, None, frozen=2, seed=1)
    moving = {name.split(".")[3] for name, one in network.named_parameters() if one.requires_grad and ".layer." in name}
    assert moving == {"2"}
    assert not any(one.requires_grad for one in network.bert.embeddings.parameters())


def test_look_alikes_share_words_and_hold_no_answer() -> None:
    given = [
        ReadingExample("Where is the grey cat?", "The grey cat is in Bremen.", (22, 28), "cats", ("Bremen",)),
        ReadingExample("Where was it?", "The grey cat was in BREMEN once.", (20, 26), "cats", ("Ulm",)),
        ReadingExample("Where is the dog?", "The grey dog is in Rome.", (19, 23), "cats", ("Rome",)),
        ReadingExample("What is blue?", "Blue is the sky.", (12, 15), "colours", ("sky",)),
    ]
    found = look_alikes(given[:1] + given, 10, 0, within_group=True)
    assert all(one.span is None for one in found)
    assert all(one.passage == "The grey dog is in Rome." for one in found if one.question == given[0].question)
    [off] = off_topic(["How do I cook rice?"], given[:1], 0)
    assert (off.span, off.passage) == (None, given[0].passage)


def test_rows_become_examples_with_the_title_before_the_passage(tmp_path: Path) -> None:
    import gzip
    import json

    rows: list[dict[str, Any]] = [
        {"title": "Cats", "passage": "A cat sat in Bremen.", "question": "Where?", "answers": ["Bremen", "in Bremen"]},
        {"title": "Cats", "passage": "A cat sat.", "question": "When?", "answers": [], "answerable": False},
        {"title": "Cats", "passage": "A cat.", "question": "Who?", "answers": ["cat"], "spans": [[2, 5]]},
    ]
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    found = read_reading(path)
    marked = [one.passage[slice(*one.span)] if one.span else None for one in found]
    assert marked == ["Bremen", None, "cat"]
    assert found[0].passage == "Cats\nA cat sat in Bremen."


def test_a_folder_without_a_reader_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot load the reader"):
        Reader(tmp_path)
