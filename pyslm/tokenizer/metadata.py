"""Where the tokenizer's metadata comes from: the only file here that knows the GGUF container.

`read_metadata` scans a file's header for the keys a tokenizer needs. It exists because the `gguf`
package makes one NumPy view per string, which takes seconds on a vocabulary of 150 k entries. Any
mapping from key to plain Python value can stand in for it (see `load_tokenizer`).

The layout is that of the GGUF specification, versions 2 and 3, little-endian:
magic, version u32, tensor count u64, key count u64, then (key, type u32, value) per key.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import Protocol, TypeAlias

from pyslm.errors import GGUFError, ModelFileError, ModelNotFoundError

__all__ = ["Metadata", "Value", "read_metadata"]

Value: TypeAlias = bool | int | float | str | list[str] | Sequence[float]


class Metadata(Protocol):
    """Any mapping from key to value; GGUF readers have this method too."""

    def get(self, key: str, default: None, /) -> Value | None:
        """The value of `key`, None where there is none."""


_FIRST_READ_BYTES = 16 << 20
_STRING, _ARRAY = 8, 9
_SCALARS = {
    type_id: struct.Struct("<" + code)
    for type_id, code in zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True)
}
_unpack_length = struct.Struct("<Q").unpack_from


class _TruncatedError(Exception):
    """The scan ran past the bytes at hand; there may be more in the file."""


def read_metadata(
    path: str | os.PathLike[str], prefixes: tuple[str, ...] = ("tokenizer.", "general.")
) -> dict[str, Value]:
    """The metadata whose keys begin with one of `prefixes`, in file order.

    Arrays of strings come as lists, arrays of numbers as tuples; other keys are skipped over.

    Raises:
        ModelNotFoundError, ModelFileError: the file cannot be opened or read.
        GGUFError: the header breaks a rule of the format.
    """
    try:
        with open(path, "rb") as file:
            num_file_bytes = os.fstat(file.fileno()).st_size
            num_bytes = _FIRST_READ_BYTES
            while True:
                file.seek(0)
                data = file.read(num_bytes)
                try:
                    return _Scanner(data).scan(prefixes)
                except _TruncatedError as error:
                    if num_bytes >= num_file_bytes:
                        raise GGUFError(f"{os.fspath(path)}: {error}") from None
                    num_bytes *= 4
                except GGUFError as error:
                    raise GGUFError(f"{os.fspath(path)}: {error}") from None
    except FileNotFoundError as error:
        raise ModelNotFoundError(f"no such model file: {os.fspath(path)}") from error
    except OSError as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"cannot read {os.fspath(path)}: {error.strerror}") from error


class _Scanner:
    """One pass over `data`, the file's first bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def scan(self, prefixes: tuple[str, ...]) -> dict[str, Value]:
        if self._take(4) != b"GGUF":
            raise GGUFError("not a GGUF file: it does not begin with the bytes 'GGUF'")
        version = self._scalar(4)
        if version not in (2, 3):
            raise GGUFError(f"GGUF version {version} is not supported; versions 2 and 3 are")
        self._scalar(10)  # tensor count
        metadata: dict[str, Value] = {}
        for _ in range(int(self._scalar(10))):
            key = self._string("a key")
            value = self._value(key, wanted=key.startswith(prefixes))
            if value is None:
                continue
            if key in metadata:
                raise GGUFError(f"key '{key}' appears twice")
            metadata[key] = value
        return metadata

    def _take(self, num_bytes: int) -> bytes:
        end = self._position + num_bytes
        if end > len(self._data):
            raise _TruncatedError(f"the file ends inside its metadata, at byte {len(self._data)}")
        chunk = self._data[self._position : end]
        self._position = end
        return chunk

    def _scalar(self, type_id: int) -> bool | int | float:
        layout = _SCALARS[type_id]
        value: bool | int | float = layout.unpack(self._take(layout.size))[0]
        return value

    def _string(self, what: str) -> str:
        offset = self._position
        raw = self._take(int(self._scalar(10)))
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise GGUFError(f"{what} at byte {offset} is not valid UTF-8") from None

    def _value(self, key: str, wanted: bool) -> Value | None:
        offset = self._position
        type_id = int(self._scalar(4))
        value: Value
        if type_id == _STRING:
            value = self._string(f"the value of '{key}'")
        elif type_id == _ARRAY:
            return self._array(key, wanted)
        elif type_id in _SCALARS:
            value = self._scalar(type_id)
        else:
            raise GGUFError(f"key '{key}' has value type {type_id} at byte {offset}; 0 to 12 exist")
        return value if wanted else None

    def _array(self, key: str, wanted: bool) -> Value | None:
        element, count = int(self._scalar(4)), int(self._scalar(10))
        if element == _STRING:
            strings = self._strings(key, count)
            return strings if wanted else None
        if element not in _SCALARS:
            raise GGUFError(f"key '{key}' is an array of type {element}, which is not allowed")
        raw = self._take(count * _SCALARS[element].size)
        code = _SCALARS[element].format[1:]
        return struct.unpack(f"<{count}{code}", raw) if wanted else None

    def _strings(self, key: str, count: int) -> list[str]:
        # The hot loop: a vocabulary and its merges are half a million strings.
        data, position = self._data, self._position
        strings: list[str] = []
        append = strings.append
        try:
            for _ in range(count):
                begin = position + 8
                position = begin + _unpack_length(data, position)[0]
                append(str(data[begin:position], "utf-8"))
        except UnicodeDecodeError:
            raise GGUFError(f"key '{key}': string {len(strings)} is not valid UTF-8") from None
        except struct.error:
            position = len(data) + 1
        if position > len(data):
            raise _TruncatedError(f"the file ends inside the array '{key}', at byte {len(data)}")
        self._position = position
        return strings
