"""What every section of the configuration is made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ragkit.errors import ConfigError
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

    def changed(self, values: Mapping[str, object]) -> Self:
        """The part with some values replaced. Raises ConfigError for a value that the config would not take either.

        >>> from ragkit.config.schema import Retrieval
        >>> Retrieval().changed({"top_k": 3}).top_k
        3
        """
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        try:
            return type(self).model_validate(fields | dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            said = first["msg"].removeprefix("Value error, ")
            raise ConfigError(f"{place}: {said}" if place else said) from None


PathField = Annotated[Path, Field(strict=False)]
Address = Annotated[str, AfterValidator(http_address)]
