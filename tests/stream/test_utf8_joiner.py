from __future__ import annotations

import codecs

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

stream = pytest.importorskip("pyslm.stream", reason="the Cython module is not built")

pieces = st.one_of(
    st.binary(max_size=6),
    st.text(max_size=4).map(lambda text: text.encode("utf-8", "replace")),
    st.sampled_from(  # unfinished, overlong, surrogate, beyond U+10FFFF, stray continuation
        [b"\xe2\x82", b"\xf0\x9f\x98", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90", b"\x80", b"\xff"]
    ),
)


@settings(deadline=None)
@given(chunks=st.lists(pieces, max_size=12))
@example([b"\xf0", b"\x9f", b"\x98", b"\x80"])
@example([b"\xf0\x9f", b"a"])
@example([b"\xe2", b"", b"\x82", b"\xac\xe2"])
def test_equals_decoding_the_whole(chunks: list[bytes]) -> None:
    joiner = stream.Utf8Joiner()
    reference = codecs.getincrementaldecoder("utf-8")("replace")
    parts = []
    for chunk in chunks:
        parts.append(joiner.push(chunk))
        assert parts[-1] == reference.decode(chunk)
    parts.append(joiner.finish())
    assert "".join(parts) == b"".join(chunks).decode("utf-8", "replace")


@settings(deadline=None)
@given(text=st.text(), size=st.integers(1, 5))
def test_never_splits_a_character(text: str, size: int) -> None:
    joiner = stream.Utf8Joiner()
    data = text.encode("utf-8", "replace")
    parts = [joiner.push(data[i : i + size]) for i in range(0, len(data), size)]
    assert "".join(parts) == data.decode()
    assert joiner.finish() == ""


def test_starts_anew_after_finish() -> None:
    joiner = stream.Utf8Joiner()
    assert (joiner.push(b"a\xe2"), joiner.finish(), joiner.push(b"\x82b")) == (
        "a",
        "\ufffd",
        "\ufffdb",
    )


def test_takes_bytes_only() -> None:
    for wrong in ("text", None, 3):
        with pytest.raises(TypeError):
            stream.Utf8Joiner().push(wrong)
