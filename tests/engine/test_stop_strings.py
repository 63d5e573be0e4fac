"""Stop strings and the release of text: the same for any cutting of the text into tokens."""

from __future__ import annotations

import codecs
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslm._native import testing


def expected_end(text: bytes, stops: list[bytes]) -> tuple[int, int] | None:
    """(begin, end) of the stop that is complete first; of several, the longest."""
    hits = [
        (end, begin)
        for stop in stops
        if (begin := text.find(stop)) >= 0
        for end in [begin + len(stop)]
    ]
    if not hits:
        return None
    end, begin = min(hits)
    return begin, end


@st.composite
def cut_texts(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """Pieces, and stop strings likely to occur in the text and to overlap."""
    alphabet = draw(st.sampled_from(["ab", "abé", "a\u20ac\U0001f600", "xyz.\n"]))
    text = draw(st.text(alphabet, max_size=40)).encode()
    stops = []
    for _ in range(draw(st.integers(0, 4))):
        if text and draw(st.booleans()):  # any bytes of the text, also half a character
            begin = draw(st.integers(0, len(text) - 1))
            stops.append(text[begin : begin + draw(st.integers(1, 6))])
        else:
            stops.append(draw(st.text(alphabet, min_size=1, max_size=5)).encode())
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=20)))
    borders = [0, *cuts, len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(borders)]
    return pieces, stops


@settings(max_examples=500, deadline=None)
@given(cut_texts(), st.booleans())
def test_result_is_that_of_the_whole_text(
    cut: tuple[list[bytes], list[bytes]], include: bool
) -> None:
    pieces, stops = cut
    text = b"".join(pieces)
    released, stop = testing.text_buffer_run(pieces, stops, include)
    end = expected_end(text, stops)
    if end is None:
        assert stop is None
        assert b"".join(released) == text
    else:
        assert stop == text[end[0] : end[1]]
        assert b"".join(released) == text[: end[1] if include else end[0]]


@settings(max_examples=250, deadline=None)
@given(cut_texts())
def test_released_bytes_are_whole_characters_and_never_taken_back(
    cut: tuple[list[bytes], list[bytes]],
) -> None:
    pieces, stops = cut
    released, _ = testing.text_buffer_run(pieces, stops)
    for chunk in released[:-1]:
        chunk.decode()  # raises where it ends inside a character


@settings(max_examples=250, deadline=None)
@given(cut_texts())
def test_text_is_held_back_only_as_long_as_needed(cut: tuple[list[bytes], list[bytes]]) -> None:
    pieces, stops = cut
    released, _ = testing.text_buffer_run(pieces, stops)
    fed = out = b""
    for piece, chunk in zip(pieces, released, strict=False):
        fed += piece
        out += chunk
        if expected_end(fed, stops) is not None:
            break
        claimed = [n for stop in stops for n in range(1, len(stop)) if fed.endswith(stop[:n])]
        free = fed[: len(fed) - max(claimed, default=0)]
        decoder = codecs.getincrementaldecoder("utf-8")()
        decoder.decode(free)
        incomplete, _ = decoder.getstate()
        assert out == free[: len(free) - len(incomplete)]


@pytest.mark.parametrize(
    ("pieces", "released"),
    [
        ([b"\xe2", b"\x82", b"\xac!"], [b"", b"", "€!".encode()]),
        ([b"a\xf0\x9f\x98", b"\x80"], [b"a", b"\xf0\x9f\x98\x80"]),
        ([b"\xff", b"\x80", b"b"], [b"\xff", b"\x80", b"b"]),  # nothing can complete these
        ([b"\xe2", b"a"], [b"", b"\xe2a"]),  # broken off: no longer held
        ([b"\xe2\x82"], [b"", b"\xe2\x82"]),  # the end of the request releases it
    ],
)
def test_utf8_is_joined(pieces: list[bytes], released: list[bytes]) -> None:
    got, stop = testing.text_buffer_run(pieces, [])
    assert stop is None
    assert [chunk for chunk in got if chunk or chunk in released][: len(released)] == released


def test_the_first_to_be_complete_wins_and_of_those_the_longest() -> None:
    assert testing.text_buffer_run([b"xabcd"], [b"abcd", b"bc"]) == ([b"xa"], b"bc")
    assert testing.text_buffer_run([b"xabc"], [b"bc", b"abc", b"c"]) == ([b"x"], b"abc")


def test_bytes_after_the_stop_are_dropped() -> None:
    assert testing.text_buffer_run([b"one STOP two"], [b"STOP"], True) == ([b"one STOP"], b"STOP")


def test_long_repetitive_stop_takes_linear_time() -> None:
    stop = b"a" * 4000 + b"b"
    released, found = testing.text_buffer_run([b"a" * 1_000_000], [stop])
    assert found is None
    assert sum(map(len, released)) == 1_000_000
