"""Questions that people saved for evaluations: for each tenant one file of JSON lines that `ragkit eval` reads."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path

from ragkit.durable import write_whole
from ragkit.evaluate.cases import Case, read_jsonl
from ragkit.ingest.owner import NOBODYS
from ragkit.serve.access import Caller
from ragkit.serve.problems import Problem

_MOST = 5000


class CaseFile:
    """The saved cases below `serve.folder`: a tenant's in `cases/TENANT.jsonl`, those of nobody in `cases/_.jsonl`."""

    def __init__(self, serve_folder: Path) -> None:
        self.folder = serve_folder / "cases"
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()

    def cases(self, caller: Caller) -> list[Case]:
        """Those of the caller's tenant, oldest first."""
        path = self._path(caller)
        return read_jsonl(path) if path.exists() else []

    def add(self, caller: Caller, case: Case) -> None:
        """Raises Problem (409) if there are too many already."""
        with self._lock:
            there = self.cases(caller)
            if len(there) >= _MOST:
                raise Problem(409, "too_many_cases", f"{_MOST:,} cases are saved already; delete some")
            self._write(caller, [*there, case])

    def remove(self, caller: Caller, identity: str) -> bool:
        """False if the caller's tenant has none of this id."""
        with self._lock:
            there = self.cases(caller)
            left = [case for case in there if case.id != identity]
            if len(left) == len(there):
                return False
            self._write(caller, left)
            return True

    def _path(self, caller: Caller) -> Path:
        return self.folder / f"{caller.tenant or NOBODYS}.jsonl"

    def _write(self, caller: Caller, cases: Sequence[Case]) -> None:
        """In one step, so that a kill leaves the file of before or the new one. No file stands for no case."""
        path = self._path(caller)
        if not cases:
            path.unlink(missing_ok=True)
            return
        rows = (case.model_dump(mode="json", exclude_defaults=True) for case in cases)
        write_whole(path, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), private=True)
