"""Whether the GPU benchmark can run here, and what the GPU is. Imports nothing but the standard library: it is asked
before anything is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

NO_GPU, NOT_INSTALLED, NO_MODEL = 3, 4, 5
"""Exit codes of what cannot run here; 2 is argparse's for a wrong argument."""

DRIVERS = {"/dev/nvidiactl": "NVIDIA", "/dev/kfd": "AMD"}
"""Files that a driver makes where it has found a GPU."""
PACKAGES = {"ragkit": "", "vllm": "vllm", "torch": "local", "sentence_transformers": "local", "openai": "openai"}
"""What has to be importable, and ragkit's extra that brings it."""
_ASK_TORCH = """\
import json, torch
there = torch.cuda.is_available()
free = torch.cuda.mem_get_info()[0] if there else 0
kinds = {"CUDA": torch.version.cuda, "ROCm": torch.version.hip}
built = next((f"{kind} {number}" for kind, number in kinds.items() if number), "CPU")
print(json.dumps({"torch": torch.__version__, "built": built, "there": there, "free_gb": free / 1e9,
    "name": torch.cuda.get_device_name() if there else "",
    "memory_gb": torch.cuda.get_device_properties(0).total_memory / 1e9 if there else 0}))
"""


class CannotRun(Exception):
    """The benchmark cannot run here. `code` is the exit code; the message says what was looked for and what to do."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Torch:
    """What torch says of the GPU. `built` is what torch was built for, `failed` why it said nothing."""

    torch: str = ""
    built: str = ""
    there: bool = False
    name: str = ""
    memory_gb: float = 0
    free_gb: float = 0
    failed: str = ""


def drivers() -> list[str]:
    """Whose driver is loaded and has found a GPU."""
    return [maker for path, maker in DRIVERS.items() if Path(path).exists()]


def missing(wanted: Sequence[str] = tuple(PACKAGES)) -> list[str]:
    """The packages that this interpreter does not have."""
    return [name for name in wanted if find_spec(name) is None]


def ask_torch() -> Torch:
    """Ask in a process of its own: one that has opened the GPU holds some of its memory to its end."""
    done = subprocess.run([sys.executable, "-c", _ASK_TORCH], capture_output=True, text=True, timeout=300)
    if done.returncode:
        return Torch(failed=(done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    return Torch(**json.loads(done.stdout.splitlines()[-1]))


def driver_version() -> str:
    """The NVIDIA driver's version; empty where nvidia-smi does not tell."""
    if not shutil.which("nvidia-smi"):
        return ""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, timeout=60)
    return done.stdout.strip().splitlines()[0].strip() if done.returncode == 0 and done.stdout.strip() else ""


def check(
    has: Sequence[str], lacks: Sequence[str], torch: Callable[[], Torch], driver: Callable[[], str] = driver_version
) -> dict[str, str]:
    """What the GPU is, for the line of the results about the machine.

    Args:
        has: As `drivers` gives it.
        lacks: As `missing` gives it.
        torch, driver: Asked only once the rest is there.

    Raises CannotRun without a GPU, without a package, or where torch sees no GPU.
    """
    if not has:
        looked = " nor ".join(f"{path} ({maker})" for path, maker in DRIVERS.items())
        raise CannotRun(
            f"no GPU: there is neither {looked}; run this on a machine with a GPU and its driver, or rehearse it"
            " without one: bash scripts/bench_gpu.sh --device cpu",
            NO_GPU,
        )
    need(lacks)
    seen, version = torch(), driver()
    loaded = f"the {has[0]} driver{f' {version}' if version else ''} is loaded"
    if seen.failed:
        raise CannotRun(
            f"{loaded}, but torch fails: {seen.failed}; install it again: pip install 'ragkit[vllm]'", NO_GPU
        )
    if not seen.there:
        raise CannotRun(
            f"{loaded}, but torch {seen.torch} (built for {seen.built}) sees no GPU (torch.cuda.is_available() is"
            " False); install a torch that is built for this driver, or look at CUDA_VISIBLE_DEVICES",
            NO_GPU,
        )
    return {
        "gpu": seen.name,
        "gpu_memory": f"{seen.memory_gb:.0f} GB",
        "gpu_free": f"{seen.free_gb:.0f} GB",
        "driver": version or "unknown",
        "built": seen.built,
    }


def need(lacks: Sequence[str]) -> None:
    """Raises CannotRun if a package is missing, with the extras that bring it."""
    if not lacks:
        return
    extras = sorted({PACKAGES[name] for name in lacks} - {""})
    what = f"ragkit[{','.join(extras)}]" if extras else "ragkit"
    raise CannotRun(
        f"{', '.join(lacks)} {'is' if len(lacks) == 1 else 'are'} not installed for {sys.executable};"
        f" pip install '{what}', or name another interpreter: PYTHON=... bash scripts/bench_gpu.sh",
        NOT_INSTALLED,
    )
