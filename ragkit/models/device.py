"""What models run on where torch runs them, found without the seconds of importing it."""

from __future__ import annotations

import sys
from pathlib import Path

_GPUS = ("/dev/nvidiactl", "/dev/kfd")


def beside_processor(device: str | None) -> bool:
    """Whether torch is told to take something other than the processor, or will choose it where it is told nothing.

    >>> beside_processor("cpu"), beside_processor("cuda:1")
    (False, True)
    """
    if device:
        return device != "cpu"
    return sys.platform == "darwin" or any(Path(gpu).exists() for gpu in _GPUS)
