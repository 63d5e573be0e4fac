"""JSON files of a model folder, with every access checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyslm.errors import ModelFileError, ModelNotFoundError, UnsupportedModelError

__all__ = ["Config", "read_json", "read_json_list"]


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; ModelNotFoundError or ModelFileError where there is none."""
    value = _parse(path)
    if not isinstance(value, dict):
        raise ModelFileError(f"{path} holds a {type(value).__name__}; it must be an object")
    return value


def read_json_list(path: Path) -> list[Any]:
    """The list in a JSON file; errors as for `read_json`."""
    value = _parse(path)
    if not isinstance(value, list):
        raise ModelFileError(f"{path} holds a {type(value).__name__}; it must be a list")
    return value


def _parse(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelNotFoundError(f"{path.parent} has no {path.name}") from None
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} is not valid JSON: {error}") from error


@dataclass(frozen=True, slots=True)
class Config:
    """`config.json` (or an object in it); errors name the file and the key."""

    path: Path
    values: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Config:
        return cls(folder / "config.json", read_json(folder / "config.json"))

    def fail(self, key: str, wanted: str) -> ModelFileError:
        if key not in self.values:
            return ModelFileError(f"{self.path}: '{key}' is missing; it must be {wanted}")
        return ModelFileError(f"{self.path}: '{key}' is {self.values[key]!r}; it must be {wanted}")

    def has(self, key: str) -> bool:
        """Whether the key is there and not null."""
        return self.values.get(key) is not None

    def integer(self, key: str, absent: int | None = None, *, least: int = 1) -> int:
        value = self.values.get(key) if self.has(key) else absent
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**31:
            raise self.fail(key, f"an integer from {least} to 2147483647")
        return value

    def number(self, key: str, absent: float | None = None) -> float:
        value = self.values.get(key) if self.has(key) else absent
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e30:
            raise self.fail(key, "a positive number")
        return float(value)

    def flag(self, key: str, absent: bool = False) -> bool:
        value = self.values.get(key) if self.has(key) else absent
        if not isinstance(value, bool):
            raise self.fail(key, "true or false")
        return value

    def text(self, key: str, absent: str | None = None) -> str:
        value = self.values.get(key) if self.has(key) else absent
        if not isinstance(value, str):
            raise self.fail(key, "a string")
        return value

    def child(self, key: str) -> Config | None:
        """The object under `key`, None where it is absent or null."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.fail(key, "an object")
        return None if value is None else Config(self.path, value)

    def require(self, key: str, allowed: Sequence[Any]) -> None:
        """UnsupportedModelError unless the key is absent, null or one of `allowed`."""
        if self.has(key) and self.values[key] not in allowed:
            shown = ", ".join(json.dumps(value) for value in allowed)
            raise UnsupportedModelError(
                f"{self.path}: '{key}' is {self.values[key]!r}; supported: {shown}"
            )
