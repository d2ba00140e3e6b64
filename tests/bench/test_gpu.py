"""The benchmark of a GPU as far as it can be known without one: it says what is missing, what it would run and with
which prompts, and reads its results. `bash scripts/bench_gpu.sh --device cpu` rehearses the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eval.bench import gpu_device, gpu_run, render
from eval.bench import results as kept
from eval.bench.corpus import has_data
from eval.bench.gpu import GPU, cases, remarks, shares
from eval.bench.gpu_device import CannotRun, Torch, check, need
from eval.bench.gpu_engine import generation, variant
from eval.bench.gpu_prompts import Asked, parted, prompts
from eval.bench.gpu_server import cache_counters
from eval.bench.gpu_settings import VARIABLE, WINDOW, Settings, chosen, hand_over, settings
from eval.bench.results import Results, Run
from eval.bench.run import main as run_others
from eval.bench.spec import ROOT, Skipped
from ragkit.generate.prompt import build_messages

SEEN = Torch("2.9.0", "CUDA 12.8", there=True, name="NVIDIA H100 80GB HBM3", memory_gb=79.6, free_gb=78.1)
BLIND = Torch("2.9.0+cpu", "CPU")
DEVICE = {"gpu": "NVIDIA H100 80GB HBM3", "gpu_memory": "80 GB", "driver": "570.86", "built": "CUDA 12.8"}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "{}")


def never() -> Torch:
    raise AssertionError("torch was asked")


class TestWithoutGpu:
    """What is said where the benchmark cannot run."""

    @pytest.mark.skipif(bool(gpu_device.drivers()), reason="there is a GPU here")
    def test_the_command_fails_in_one_line_that_says_what_was_looked_for_and_what_to_do(self) -> None:
        environment = {**os.environ, "PYTHON": sys.executable}
        command = ["bash", str(ROOT / "scripts" / "bench_gpu.sh")]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 3
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("error: no GPU: there is neither /dev/nvidiactl (NVIDIA) nor /dev/kfd (AMD)")
        assert "bash scripts/bench_gpu.sh --device cpu" in done.stderr

    def test_nothing_else_is_asked_where_no_driver_is_loaded(self) -> None:
        with pytest.raises(CannotRun) as refused:
            check([], ["vllm"], never)
        assert refused.value.code == 3

    def test_without_vllm_its_extra_is_named_and_the_interpreter(self) -> None:
        with pytest.raises(CannotRun) as refused:
            check(["NVIDIA"], ["vllm", "openai"], never)
        assert refused.value.code == 4
        assert f"vllm, openai are not installed for {sys.executable}" in str(refused.value)
        assert "pip install 'ragkit[openai,vllm]'" in str(refused.value)

    def test_a_driver_whose_gpu_torch_does_not_see(self) -> None:
        with pytest.raises(CannotRun, match="built for CPU") as refused:
            check(["NVIDIA"], [], lambda: BLIND, lambda: "570.86")
        assert refused.value.code == 3
        said = str(refused.value)
        assert said.startswith("the NVIDIA driver 570.86 is loaded, but torch 2.9.0+cpu")
        assert "CUDA_VISIBLE_DEVICES" in said

    def test_a_torch_that_does_not_load(self) -> None:
        with pytest.raises(CannotRun, match=r"torch fails: OSError: libcudart\.so"):
            check(["NVIDIA"], [], lambda: Torch(failed="OSError: libcudart.so"), lambda: "")

    def test_with_a_gpu_its_name_driver_and_memory_are_told(self) -> None:
        told = check(["NVIDIA"], [], lambda: SEEN, lambda: "570.86")
        assert told == {**DEVICE, "gpu_free": "78 GB"}

    @pytest.mark.integration
    def test_torch_is_asked_in_a_process_of_its_own(self) -> None:
        seen = gpu_device.ask_torch()
        assert seen.torch
        assert not seen.failed
        assert seen.there == bool(seen.name)

    def test_nothing_is_needed_where_nothing_is_missing(self) -> None:
        need([])


class TestCommand:
    """What a command line comes to."""

    def test_the_plan_names_contenders_rounds_and_models(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert gpu_run.main(["--list", "--model", "hf:org/chat", "--rounds", "7"]) == 0
        plan = capsys.readouterr().out
        assert "GPU, 7 rounds of each:" in plan
        assert "in process:  ragkit, bare, no-prefix-cache, quantised, speculative" in plan
        assert "server:      ragkit, bare" in plan
        assert "model:         hf:org/chat" in plan
        assert "quantised:     fp8" in plan

    def test_cases_and_contenders_can_be_named(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert gpu_run.main(["--list", "--only", "in process,ragkit,quantised"]) == 0
        plan = capsys.readouterr().out
        assert "in process:  ragkit, quantised" in plan
        assert "server" not in plan

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--rounds", "3"], "fewer than 5 rounds say too little; add --quick"),
            (["--only", "nobody"], "--only nobody: there are in process, server, embedding, reranking, ragkit"),
            (["--only", "quantised", "--quantised", "none"], "nothing is named by --quantised"),
            (["--prompts", "0"], "'0' is no whole number above 0"),
        ],
    )
    def test_a_wrong_argument(self, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            gpu_run.main(arguments)
        assert ended.value.code == 2
        assert said in capsys.readouterr().err

    @pytest.mark.parametrize("use", ["model", "quantised", "speculative"])
    def test_a_model_that_is_not_here_is_said_with_the_option_that_fetches_it(
        self, use: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "here").mkdir()
        (tmp_path / "here" / "config.json").write_text("{}", encoding="utf-8")
        monkeypatch.setenv("HF_HOME", str(tmp_path))
        monkeypatch.setattr(gpu_run.gpu_device, "missing", lambda wanted: [])  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
        models = ["--model", str(tmp_path / "here"), f"--{use}", "hf:org/none"]
        assert gpu_run.main(["--device", "cpu", "--only", "in process", *models]) == 5
        said = capsys.readouterr().err
        assert said.startswith(f"error: --{use} hf:org/none: hf:org/none is not on this machine")
        assert "--download" in said

    def test_the_settings_reach_the_processes_of_the_contenders(self) -> None:
        given = chosen(rehearsal=True, quick=False, model="m", prompts=7)
        hand_over(given)
        assert settings() == given
        assert (given.prompts, given.device) == (7, "cpu")

    def test_the_other_command_does_not_run_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "argv", ["bench", "gpu"])
        with pytest.raises(SystemExit):
            run_others()

    def test_only_what_a_case_needs_has_to_be_installed(self) -> None:
        assert "vllm" not in gpu_run.packages(["embedding", "reranking"])
        assert "sentence_transformers" not in gpu_run.packages(["in process", "server"])


class TestVariants:
    """What a contender changes, and that it changes nothing else."""

    def test_each_has_the_window_of_all(self) -> None:
        assert variant("ragkit", Settings()) == (Settings().model, {"max_model_len": WINDOW})
        assert variant("no-prefix-cache", Settings())[1] == {"max_model_len": WINDOW, "enable_prefix_caching": False}

    def test_weights_are_quantised_while_loading_or_come_so(self) -> None:
        assert variant("quantised", Settings())[0] == Settings().model
        assert variant("quantised", Settings())[1]["quantization"] == "fp8"
        by_model = variant("quantised", Settings(quantised="hf:org/chat-awq"))
        assert by_model == ("hf:org/chat-awq", {"max_model_len": WINDOW})

    def test_drafts_by_words_of_the_prompt_or_by_a_model(self, tmp_path: Path) -> None:
        by_words = variant("speculative", Settings())[1]["speculative_config"]
        assert by_words == {"method": "ngram", "prompt_lookup_max": 4, "num_speculative_tokens": 5}
        (tmp_path / "config.json").write_text("{}", encoding="utf-8")
        by_model = variant("speculative", Settings(speculative=str(tmp_path)))[1]["speculative_config"]
        assert by_model == {"method": "draft_model", "model": str(tmp_path), "num_speculative_tokens": 5}

    def test_what_is_left_out_takes_no_part(self) -> None:
        [in_process, *others] = cases(Settings(quantised="", speculative=""))
        assert in_process.contenders == ("ragkit", "bare", "no-prefix-cache")
        assert all(case.contenders == ("ragkit", "bare") for case in others)


class TestPrompts:
    """RAG prompts: one system prompt, shared beginnings within a group, other passages elsewhere."""

    @pytest.fixture(params=["samples", pytest.param("xquad", marks=pytest.mark.data)])
    def source(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        if request.param == "samples":
            monkeypatch.setenv("RAGKIT_BENCH_DATA", str(tmp_path / "none"))
        elif not has_data():
            pytest.skip("the data sets are not here")

    @pytest.mark.usefixtures("source")
    def test_everybody_gets_the_same_ones(self) -> None:
        asked = prompts(4, 12, 3)
        assert (len(asked.first), len(asked.together)) == (4, 12)
        assert asked == prompts(4, 12, 3)

    @pytest.mark.usefixtures("source")
    def test_questions_of_a_group_begin_alike_and_others_share_the_system_prompt_alone(self) -> None:
        asked = prompts(4, 40, 3)
        begun: dict[str, list[Asked]] = {}
        for each in asked.together:
            begun.setdefault(each.results[0].chunk.text, []).append(each)
        assert len(begun) > 1
        assert max(map(len, begun.values())) > 1
        assert all(len({each.key[1:] for each in group}) == 1 for group in begun.values())
        config = generation(Settings())
        system, user = build_messages(config, "Q?", [result.chunk for result in asked.first[0].results])
        assert system["content"] == config.system_prompt
        assert asked.first[0].results[0].chunk.text[:40] in user["content"].replace("\u2060", "")

    @pytest.mark.usefixtures("source")
    def test_what_one_part_leaves_in_a_cache_serves_no_other(self) -> None:
        asked = prompts(4, 12, 3)
        parts = [(asked.warm_up,), asked.first, asked.together]
        beginnings = [{each.results[0].chunk.text for each in part} for part in parts]
        assert sum(map(len, beginnings)) == len(set[str]().union(*beginnings))

    def test_too_few_questions_are_said(self) -> None:
        with pytest.raises(Skipped, match=r"too few questions for 2 \+ 3 prompts; lower --first or --prompts"):
            parted([[Asked("q", ())]], 2, 3)


class TestResults:
    """What is kept and shown."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(render, "FOLDER", tmp_path)
        monkeypatch.setattr(kept, "FOLDER", tmp_path)
        return tmp_path

    @staticmethod
    def found() -> Results:
        ours, bare = (98.0, 99.0, 101.0), (100.0, 100.0, 100.0)
        runs = [
            Run("in process", name, number, {"tokens_s": value, "hits": 0.5}, "", "abc", "2026-11-27 10:00")
            for name, values in (("ragkit", ours), ("bare", bare))
            for number, value in enumerate(values)
        ]
        runs += [Run("server", "ragkit", 0, {"tokens_s": 90.0}), Run("server", "bare", 0, {"tokens_s": 100.0})]
        machine = {**kept.machine(), **DEVICE}
        return Results("gpu", False, machine, {"vllm": "0.32.0"}, runs, settings=Settings(quantised="").told())

    def test_shares_are_taken_within_rounds(self) -> None:
        assert shares(self.found())["in process"] == (0.99, 0.98, 1.01, 3)

    def test_each_share_says_whether_it_is_what_was_aimed_at(self) -> None:
        in_process, server = remarks(self.found())
        assert "ragkit has 0.990 (0.980 to 1.010, 3 rounds) of the bare throughput; 0.98 is reached" in in_process
        assert server.endswith("0.98 is missed.")

    def test_the_page_has_the_device_its_driver_the_models_and_the_shares(self) -> None:
        page = render.section(GPU, self.found())
        assert "NVIDIA H100 80GB HBM3 (80 GB), driver 570.86, CUDA 12.8; " in page
        assert "model `hf:Qwen/Qwen2.5-7B-Instruct`" in page
        assert "quantised ``" not in page
        assert "| bare (floor) | 3 | 100 × 1.01" in page
        assert "0.98 is missed." in page

    def test_results_of_another_model_or_another_device_are_not_gone_on_with(self) -> None:
        def begun(device: dict[str, str], given: Settings) -> Results:
            return kept.begin("gpu", quick=False, resume=True, fresh=False, device=device, settings=given.told())

        begun(DEVICE, Settings()).add(Run("server", "ragkit", 0, {"tokens_s": 1.0}, commit=kept.commit()))
        assert begun(DEVICE, Settings()).done("server") == {("ragkit", 0)}
        assert not begun(DEVICE, Settings(model="hf:org/other")).runs
        assert not begun({**DEVICE, "gpu": "NVIDIA A10"}, Settings()).runs

    def test_a_rehearsal_is_never_written_into_the_documents(self) -> None:
        rehearsed = gpu_run.Rehearsed("gpu", True, {}, {})
        assert rehearsed.path == ROOT / ".bench" / "gpu-rehearsal.json"

    def test_the_counters_of_several_engines_are_added(self) -> None:
        metrics = "\n".join(
            f'vllm:prefix_cache_{name}_total{{engine="{engine}",model_name="bench"}} {value}'
            for engine in (0, 1)
            for name, value in (("queries", 100.0), ("hits", 1e1))
        )
        assert cache_counters(metrics + "\nvllm:prefix_cache_hits_created 5") == (200.0, 20.0)
