"""A corpus whose convention a reranker can learn: each rule stands there twice, superseded and in force, and words and
meaning alone put the superseded one first. Questions ask for the rule in force."""

from __future__ import annotations

import json
import re
from pathlib import Path

NAMES = re.findall(
    r"\w+",
    "Falcon Heron Osprey Plover Curlew Avocet Dunlin Godwit Whimbrel Lapwing Redshank Turnstone Gannet Fulmar Petrel"
    " Puffin Guillemot Razorbill Kittiwake Skua Tern Merlin Hobby Kestrel Buzzard Harrier Goshawk Kite Eagle Raven"
    " Jackdaw Magpie Nuthatch Treecreeper Wren Dipper Robin Redstart Wheatear Stonechat Whinchat Fieldfare Redwing"
    " Blackcap Whitethroat Chiffchaff Goldcrest Firecrest",
)
ASPECTS = ("delivery time", "warranty")


def write_handbook(folder: Path, names: int = len(NAMES)) -> Path:
    """Write `docs/` with a document for each name, and `questions.jsonl` with two questions about each."""
    docs = folder / "docs"
    docs.mkdir(parents=True, exist_ok=True)
    rows: list[str] = []
    for number, name in enumerate(NAMES[:names]):
        parts = [f"# {name}\n", f"The {name} weighs {number + 3} kg with its feet.\n"]
        for place, aspect in enumerate(ASPECTS):
            old, new = f"{number % 7 + 2 + place} days", f"{number % 5 + 11 + place} days"
            parts.append(f"## {aspect} until 2019\n\nSuperseded. What is the {aspect} of the {name}? It is {old}.\n")
            quote = f"Counted from the order it comes to {new}"
            parts.append(
                f"## {aspect} from 2020\n\nIn force. The {aspect} of our model {name} was set anew by the board."
                f" {quote}, holidays and Sundays left aside, for all customers at home and abroad.\n"
            )
            evidence = [{"document": f"{name.lower()}.md", "quote": quote}]
            asked = f"What is the {aspect} of the {name}?"
            rows.append(json.dumps({"id": f"{name}-{place}", "question": asked, "evidence": evidence}) + "\n")
        (docs / f"{name.lower()}.md").write_text("\n".join(parts), encoding="utf-8")
    (folder / "questions.jsonl").write_text("".join(rows), encoding="utf-8")
    return folder
