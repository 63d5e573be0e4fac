"""Metadata read with a type and a range, as the model loader does."""

from __future__ import annotations

from typing import Any

import pytest
from raw_file import ARRAY, BOOL, F32, F64, I8, I32, I64, STRING, U8, U32, U64, build

from pyslm._native import GGUFReader
from pyslm.errors import GGUFError

NAN, INF = float("nan"), float("inf")
METADATA: list[tuple[str, int, Any]] = [
    ("u8", U8, 200), ("i8", I8, -100), ("u64", U64, 2**63), ("u64.small", U64, 5),
    ("i64", I64, -(2**63)), ("f32", F32, 0.5), ("f64", F64, 1e300), ("nan", F32, NAN),
    ("inf", F64, INF), ("bool", BOOL, 1), ("string", STRING, b"text"), ("bytes", STRING, b"\xff"),
    ("ints", ARRAY, (I32, [3, -1, 2])), ("u64s", ARRAY, (U64, [1, 2**63])),
    ("floats", ARRAY, (F32, [0.5, 2.0])), ("nans", ARRAY, (F32, [0.5, NAN])),
    ("bools", ARRAY, (BOOL, [1, 0, 1])), ("strings", ARRAY, (STRING, [b"a"])),
    ("no_ints", ARRAY, (U32, [])),
]  # fmt: skip


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> GGUFReader:
    path = tmp_path_factory.mktemp("gguf") / "m.gguf"
    path.write_bytes(build([(key.encode(), type_, value) for key, type_, value in METADATA]).data)
    return GGUFReader(path)


@pytest.mark.parametrize(
    ("method", "arguments", "expected"),
    [
        ("integer", ("u8", 0, 200), 200),
        ("integer", ("u8", 200, 200), 200),
        ("integer", ("i8", -100, 0), -100),
        ("integer", ("u64.small", 0, 10), 5),
        ("integer", ("i64", -(2**63), 0), -(2**63)),
        ("integer", ("absent", 0, 10, 77), 77),
        ("integer", ("u8", 0, 200, 77), 200),
        ("number", ("f32", 0, 1), 0.5),
        ("number", ("f64", 0, INF), 1e300),
        ("number", ("u8", 0, 300), 200.0),
        ("number", ("u64", 0, INF), float(2**63)),
        ("number", ("absent", 0, 1, 0.25), 0.25),
        ("boolean", ("bool", False), True),
        ("boolean", ("absent", True), True),
        ("string", ("string",), "text"),
        ("string", ("bytes",), b"\xff"),
        ("string", ("absent", "other"), "other"),
        ("integers", ("ints", -1, 3), [3, -1, 2]),
        ("integers", ("u8", 0, 255), [200]),
        ("integers", ("no_ints", 0, 0), []),
        ("numbers", ("floats",), [0.5, 2.0]),
        ("booleans", ("bools",), [True, False, True]),
        ("booleans", ("bool",), [True]),
    ],
)
def test_values(reader: GGUFReader, method: str, arguments: tuple[Any, ...], expected: Any) -> None:
    got = getattr(reader, method)(*arguments)
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("integer", ("absent", 0, 1), "key 'absent' is missing"),
        ("number", ("absent", 0, 1), "key 'absent' is missing"),
        ("string", ("absent",), "key 'absent' is missing"),
        ("integers", ("absent", 0, 1), "key 'absent' is missing"),
        ("numbers", ("absent",), "key 'absent' is missing"),
        ("booleans", ("absent",), "key 'absent' is missing"),
        ("integer", ("u8", 0, 199), "key 'u8' is 200; allowed: 0 to 199"),
        ("integer", ("u8", 201, 300, 250), "key 'u8' is 200; allowed: 201 to 300"),
        ("integer", ("u64", 0, 2**63 - 1), "key 'u64' is 9223372036854775808; allowed: 0 to"),
        ("integer", ("f32", 0, 1), "key 'f32' is float32; it must be an integer"),
        ("integer", ("bool", 0, 1), "key 'bool' is bool; it must be an integer"),
        ("integer", ("ints", 0, 1), r"key 'ints' is array\[int32\]; it must be an integer"),
        ("number", ("f32", 1, 2), "key 'f32' is 0.5; allowed: 1 to 2"),
        ("number", ("nan", -INF, INF), "key 'nan' is nan; allowed"),
        ("number", ("inf", -INF, INF), "key 'inf' is inf; allowed"),
        ("number", ("string", 0, 1), "key 'string' is string; it must be a number"),
        ("boolean", ("u8", False), "key 'u8' is uint8; it must be a bool"),
        ("string", ("u8",), "key 'u8' is uint8; it must be a string"),
        ("string", ("u8", "x"), "key 'u8' is uint8; it must be a string"),
        ("integers", ("ints", 0, 3), "key 'ints' holds -1 at index 1; allowed: 0 to 3"),
        ("integers", ("u64s", 0, 2**62), "key 'u64s' holds 9223372036854775808 at index 1"),
        ("integers", ("bools", 0, 1), r"is array\[bool\]; it must be an integer or an array"),
        ("integers", ("floats", 0, 1), r"is array\[float32\]; it must be an integer or an array"),
        ("integers", ("strings", 0, 1), r"is array\[string\]; it must be an integer or an array"),
        ("numbers", ("ints",), r"is array\[int32\]; it must be an array of floats"),
        ("numbers", ("nans",), "key 'nans' holds nan at index 1; must be finite"),
        ("booleans", ("ints",), r"is array\[int32\]; it must be a bool or an array of bools"),
    ],
)
def test_refusals(
    reader: GGUFReader, method: str, arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(GGUFError, match=message):
        getattr(reader, method)(*arguments)
