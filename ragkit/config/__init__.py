"""Configuration: the tree of keys, reading it from YAML, hashing and showing it.

The names below are imported on first use, so that `import ragkit.config` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ragkit.config.hashing import config_hash, explain_difference, index_hash, index_settings
    from ragkit.config.load import LoadedConfig, load_config
    from ragkit.config.schema import Config
    from ragkit.config.show import config_schema, resolved, resolved_yaml
    from ragkit.config.template import config_template

__all__ = [
    "Config",
    "LoadedConfig",
    "config_hash",
    "config_schema",
    "config_template",
    "explain_difference",
    "index_hash",
    "index_settings",
    "load_config",
    "resolved",
    "resolved_yaml",
]

_MODULES = {
    "Config": "schema",
    "LoadedConfig": "load",
    "config_hash": "hashing",
    "config_schema": "show",
    "config_template": "template",
    "explain_difference": "hashing",
    "index_hash": "hashing",
    "index_settings": "hashing",
    "load_config": "load",
    "resolved": "show",
    "resolved_yaml": "show",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
