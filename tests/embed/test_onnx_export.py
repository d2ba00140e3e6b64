"""The embedding model without torch: exported once, the same vectors, and torch where that cannot be."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragkit.config.schema import Embedding
from ragkit.embed.models import found_model
from ragkit.embed.onnx_encoder import OnnxEncoder
from ragkit.embed.sentence_transformers import LocalEmbedder
from ragkit.embed.torch_encoder import TorchEncoder
from ragkit.models import onnx_export
from ragkit.models.cache import cache_folder
from ragkit.models.onnx_export import why_not
from ragkit.models.resolve import Found

pytestmark = pytest.mark.integration

MODEL = "all-MiniLM-L6-v2"
WINDOW = 256
EXPORTER = "ragkit.embed.onnx_export"


def exported(found: Found) -> Path | None:
    return onnx_export.exported(found, EXPORTER)


@pytest.fixture(scope="module")
def found() -> Found:
    return found_model(MODEL)


@pytest.fixture(scope="module")
def onnx(found: Found) -> OnnxEncoder:
    model = exported(found)
    assert model is not None
    return OnnxEncoder(found.folder, model, WINDOW)


@pytest.fixture(scope="module")
def torch(found: Found) -> TorchEncoder:
    return TorchEncoder(found.folder, WINDOW, "cpu")


@given(texts=st.lists(st.text(max_size=400), min_size=1, max_size=5))
@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
def test_vectors_are_those_of_torch(onnx: OnnxEncoder, torch: TorchEncoder, texts: list[str]) -> None:
    cosines = np.sum(_unit(onnx.encode(texts)) * _unit(torch.encode(texts)), axis=1)
    assert cosines.min() > 1 - 1e-4


def test_texts_beyond_the_window_and_batches_beyond_the_bound_are_those_of_torch(
    onnx: OnnxEncoder, torch: TorchEncoder
) -> None:
    texts = [f"word {number} " * number for number in (1, 3, 200, 700, 5, 90, 40, 150, 2, 250, 249)]
    np.testing.assert_allclose(_unit(onnx.encode(texts, 4)), _unit(torch.encode(texts, 4)), atol=1e-4)


def _unit(
    vectors: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_embedding_does_not_import_torch() -> None:
    program = (
        "import sys; from ragkit.config.schema import Embedding; from ragkit.embed import make_embedder;"
        "embedder = make_embedder(Embedding(device='cpu'));"
        "embedder.embed_question('How long?'); embedder.embed_passages(['Ten hours.']);"
        "print([name for name in ('torch', 'transformers', 'sentence_transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class TestMaking:
    @pytest.fixture
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("RAGKIT_MODELS", str(tmp_path / "models"))
        return tmp_path / "models" / ".onnx"

    def test_one_that_was_killed_leaves_nothing_that_is_used_and_is_made_again(self, cache: Path, found: Found) -> None:
        program = "from ragkit.embed.models import found_model; from ragkit.models.onnx_export import exported;" + (
            f"exported(found_model({MODEL!r}), {EXPORTER!r})"
        )
        maker = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
        deadline = time.monotonic() + 120
        while not list(cache.glob(".*.building-*/*.onnx")) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(maker.pid, signal.SIGKILL)
        maker.wait()
        assert list(cache.glob(".*.building-*"))
        assert not list(cache.glob("[!.]*"))
        model = exported(found)
        assert model is not None
        assert model.parent.parent == cache
        assert not list(cache.glob(".*"))

    def test_a_failure_that_may_pass_is_tried_again_after_a_while_and_told_meanwhile(
        self, cache: Path, found: Found, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
        try:
            assert exported(found) is None
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert why_not(found)
        assert exported(found) is None
        monkeypatch.setattr("ragkit.models.onnx_export._AGAIN_S", 0.0)
        assert exported(found) is not None
        assert why_not(found) is None

    def test_a_damaged_one_is_made_again(self, cache: Path, found: Found) -> None:
        kept = cache_folder().parent / "kept"
        model = exported(found)
        assert model is not None
        shutil.copy(model, kept)
        with model.open("r+b") as file:
            file.seek(1000)
            file.write(b"damage")
        assert exported(found) == model
        assert model.read_bytes() == kept.read_bytes()


class TestSuperseded:
    """A new export takes the place of those that nothing will ask for again."""

    @pytest.fixture
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Found) -> Path:
        """A cache with one real export, as it was made before."""
        kept = exported(found)
        assert kept is not None
        monkeypatch.setenv("RAGKIT_MODELS", str(tmp_path / "models"))
        folder = tmp_path / "models" / ".onnx"
        shutil.copytree(kept.parent, folder / kept.parent.name)
        return folder

    @staticmethod
    def put(folder: Path, model: Path, **note: str) -> Path:
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(b"old")
        (folder / "export.json").write_text(json.dumps({"sha256": "0" * 64, "model": str(model), **note}))
        return folder

    def test_what_it_takes_the_place_of_goes_and_nothing_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Found
    ) -> None:
        monkeypatch.setenv("RAGKIT_MODELS", str(tmp_path / "models"))
        cache, digest, other = tmp_path / "models" / ".onnx", found.digest(), "f" * 24
        gone = [
            self.put(cache / f"{other}-1", found.folder),
            self.put(cache / f"{'e' * 24}-1", found.folder, refused="it has no weights"),
            self.put(cache / f"{digest}-0", tmp_path / "elsewhere"),
            self.put(cache / f".{other}-0.superseded", tmp_path),  # a kill came between
        ]
        stay = [
            self.put(cache / f"{digest}-99", found.folder),  # a newer ragkit beside this one
            self.put(cache / f"{'d' * 24}-1", tmp_path / "another model"),
        ]
        (cache / f"{'c' * 24}-1").mkdir()  # nothing is known of it
        model = exported(found)
        assert model is not None
        assert not any(folder.exists() for folder in gone)
        assert all((folder / "model.onnx").exists() for folder in stay)
        assert not list(cache.glob(".*"))
        assert exported(found) == model

    def test_who_has_opened_one_goes_on_with_it(self, cache: Path) -> None:
        embedder = LocalEmbedder(Embedding(model=MODEL, device="cpu"))
        before = embedder.embed_question("How long does the battery last?")
        shutil.rmtree(cache)
        assert np.array_equal(embedder.embed_question("How long does the battery last?"), before)

    def test_who_was_about_to_open_one_makes_it_again(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[Path | None] = []

        of_old = onnx_export.exported

        def removed_at_once(found: Found, exporter: onnx_export.Exporter) -> Path | None:
            asked.append(of_old(found, exporter))
            if len(asked) == 1:
                shutil.rmtree(cache)
            return asked[-1]

        monkeypatch.setattr("ragkit.models.onnx_export.exported", removed_at_once)
        embedder = LocalEmbedder(Embedding(model=MODEL, device="cpu"))
        assert embedder.embed_question("How long?").shape == (384,)
        assert asked[0] == asked[1]
        assert isinstance(embedder._for_questions, OnnxEncoder)  # pyright: ignore[reportPrivateUsage]


def test_a_model_that_cannot_be_exported_is_run_by_torch_and_tried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(found_model(MODEL).folder / "tokenizer.json"))
    folder = tmp_path / "static"
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=16)], device="cpu").save(str(folder))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64}))
    embedder = LocalEmbedder(Embedding(model=str(folder), device="cpu"))
    vectors = embedder.embed_passages(["The battery lasts.", "It is charged."])
    assert vectors.shape == (2, 16)
    found = found_model(str(folder))
    assert exported(found) is None
    reason = why_not(found)
    assert reason
    assert "Error" in reason
    monkeypatch.setattr("ragkit.models.onnx_export._versions", lambda: "torch 99")
    assert why_not(found) is None  # other packages may export it
