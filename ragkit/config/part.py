"""What every section of the configuration is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ragkit.service import http_address


def runtime(default: Any = ..., *, description: str, **constraints: Any) -> Any:
    """A field that cannot change a result (a path, a worker count, a time-out) and so is not hashed."""
    return Field(default, description=description, json_schema_extra={"runtime": True}, **constraints)


class Part(BaseModel):
    """Base of all parts: unknown keys are refused, values are not coerced, instances do not change."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,  # an address may carry a password
    )


PathField = Annotated[Path, Field(strict=False)]
Address = Annotated[str, AfterValidator(http_address)]
