"""Who calls, and what of the system is open to them: what a client shows is made of this."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from fastapi.responses import Response

from ragkit.serve.problems import Json
from ragkit.serve.schemas import Shown
from ragkit.serve.server import PROBLEMS, Reader

router = APIRouter(prefix="/v1", tags=["caller"], responses=PROBLEMS)


class MeResponse(Shown):
    key: str
    """Name of the key; "" where none is asked for."""
    tenant: str
    role: Literal["read", "write", "admin"]
    upload_types: list[str]
    max_upload_mb: float


@router.get("/me", responses={200: {"model": MeResponse}})
async def me(admitted: Reader) -> Response:
    """The caller's key, tenant and role, and what uploads may be."""
    caller, serve = admitted.caller, admitted.rag.config.serve
    fields = {"key": caller.name, "tenant": caller.tenant, "role": caller.role}
    return Json({**fields, "upload_types": serve.upload_types, "max_upload_mb": serve.max_upload_mb})
