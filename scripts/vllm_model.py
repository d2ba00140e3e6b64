"""Write a GGUF model of the catalogue as a folder that vLLM loads (safetensors, bfloat16); prints the folder.

    .venv-vllm/bin/python scripts/vllm_model.py qwen2.5-coder-0.5b-instruct

The folder lies below the models' cache, in `vllm/NAME`. It gets its name by one rename once it is whole: a conversion
that was killed leaves nothing by halves; a second run does nothing. Runs in `.venv-vllm`, see `scripts/vllm_cpu.sh`.
Exits with 4 if the model is not here and no source of it is in reach.
"""

from __future__ import annotations

import json
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from ragkit.errors import ModelError
from ragkit.models.cache import building_folder, fetch_lock, model_folder_in_cache, publish
from ragkit.models.resolve import Found, resolve

_ORIGIN = "ragkit-origin.json"  # what the folder was made of
_OUT_OF_REACH = ("no source is in reach", "broke off")


def main(name: str) -> int:
    try:
        found = resolve(name)
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4 if any(words in error.message for words in _OUT_OF_REACH) else 1
    key = f"vllm/{found.name}"
    target, origin = model_folder_in_cache(key), {"file": found.weights.name, "sha256": found.files[0][1]}
    with fetch_lock(key):
        if not _is_made_of(target, origin):
            building = building_folder(key)
            for left_over in (building, target):
                shutil.rmtree(left_over, ignore_errors=True)
            building.mkdir(parents=True)
            print(f"converting {found.weights.name} to safetensors, about a minute ...", file=sys.stderr)
            _convert(found, building)
            (building / _ORIGIN).write_text(json.dumps(origin), encoding="utf-8")
            publish(building, target)
    print(target)
    return 0


def _is_made_of(folder: Path, origin: dict[str, str | None]) -> bool:
    try:
        return json.loads((folder / _ORIGIN).read_text(encoding="utf-8")) == origin
    except (OSError, ValueError):
        return False


def _convert(found: Found, target: Path) -> None:
    transformers: Any = import_module("transformers")
    torch: Any = import_module("torch")
    where = {"gguf_file": found.weights.name, "local_files_only": True}
    model = transformers.AutoModelForCausalLM.from_pretrained(found.folder, dtype=torch.bfloat16, **where)
    # The weights are plain numbers now; what says otherwise would be written into config.json.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(target)
    tokenizer = transformers.AutoTokenizer.from_pretrained(found.folder, **where)
    if not tokenizer.chat_template:
        raise SystemExit(f"error: {found.weights.name} has no chat template")
    tokenizer.save_pretrained(target)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    raise SystemExit(main(sys.argv[1]))
