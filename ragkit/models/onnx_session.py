"""An ONNX file that onnxruntime runs on this machine's processor: opened in one way for all who have one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from ragkit.errors import MissingExtra, ModelError


class Port(Protocol):
    """An input or an output of a model."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> list[int | str | None]: ...


class Session(Protocol):
    """The part of onnxruntime's InferenceSession that is used here; the package has no types."""

    def get_inputs(self) -> list[Port]: ...

    def get_outputs(self) -> list[Port]: ...

    def run(self, outputs: None, inputs: dict[str, NDArray[np.int64]]) -> list[NDArray[np.float32]]: ...


def open_session(file: Path, *, optimised: bool = False, keep_optimised: Path | None = None) -> Session:
    """The model in this file, ready to run; `run` may be called from several threads.

    `optimised` says that the graph was rewritten before, which saves doing so at each start; `keep_optimised` is where
    to write what is done now. `OMP_NUM_THREADS` bounds the threads, as it does torch's.

    Raises:
        ModelError: The file is missing or is no model that onnxruntime reads.
        MissingExtra: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("onnxruntime", "onnx") from error
    package: Any = onnxruntime  # it has no types
    options = package.SessionOptions()
    options.log_severity_level = 3  # warnings are about the graph, which its user cannot change
    threads = os.environ.get("OMP_NUM_THREADS", "")
    options.intra_op_num_threads = int(threads) if threads.isdecimal() else 0
    levels = package.GraphOptimizationLevel
    if optimised:
        options.graph_optimization_level = levels.ORT_DISABLE_ALL
    elif keep_optimised is not None:
        options.graph_optimization_level = levels.ORT_ENABLE_EXTENDED  # what goes beyond is for one processor only
        options.optimized_model_filepath = str(keep_optimised)
    try:
        return cast("Session", package.InferenceSession(str(file), options, providers=["CPUExecutionProvider"]))
    except Exception as error:  # onnxruntime raises its own classes, one for each status
        raise ModelError(f"cannot load {file}: {str(error).splitlines()[0]}") from error


def optimise(plain: Path, to: Path) -> None:
    """Rewrite the graph in a file for this kind of processor, once for all who open it as `optimised`; the plain one
    goes."""
    open_session(plain, keep_optimised=to)
    plain.unlink()


def inputs_of(session: Session, encodings: list[Encoding], pad_id: int = 0) -> dict[str, NDArray[np.int64]]:
    """What a text model is given for a batch, each array of shape (texts, tokens of the longest): those of token ids,
    attention mask and token types that it asks for."""
    longest = max(len(encoding.ids) for encoding in encodings)
    for encoding in encodings:
        encoding.pad(longest, pad_id=pad_id)
    columns = {
        "input_ids": [encoding.ids for encoding in encodings],
        "attention_mask": [encoding.attention_mask for encoding in encodings],
        "token_type_ids": [encoding.type_ids for encoding in encodings],
    }
    names = (port.name for port in session.get_inputs())
    return {name: np.asarray(columns[name], dtype=np.int64) for name in names if name in columns}
