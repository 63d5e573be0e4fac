"""Markers that are control tokens are found where they stood, however late their bytes come."""

from __future__ import annotations

import itertools
import json
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from pyslm.chat.engine_output import EngineOutput
from pyslm.chat.output import OutputParser
from pyslm.chat.reasoning import REASONING_STYLES
from pyslm.chat.tool_formats import tool_format
from pyslm.serve.protocol import ContentDelta, ReasoningDelta, ToolCallArguments, ToolCallStart
from pyslm.serve.worker.parser import ChatParser
from pyslm.tokenizer import Tokenizer

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
MARKERS = {0: "<think>", 1: "</think>", 2: "<tool_call>", 3: "</tool_call>"}
CALL = json.dumps({"name": "look", "arguments": {"at": "é <tool_call>"}}, ensure_ascii=False)
# Bytes are tokens of their own, so that characters are cut as well.
OUTPUT = [0, *"hm é".encode(), 1, *b"Well", 2, *CALL.encode(), 3]
SPOKEN = "hm é", "Well", [("look", {"at": "é <tool_call>"})]


class Bytes:
    """A vocabulary of markers and single bytes."""

    def token_bytes(self, token: int) -> bytes:
        return b"" if token in MARKERS else bytes((token,))


def read(chunks: list[tuple[bytes, list[int]]]) -> tuple[str, str, list[Any]]:
    parser = OutputParser(
        tool_format("hermes"),
        TOOLS,
        reasoning=REASONING_STYLES["think"],
        control={text: ident for ident, text in MARKERS.items()},
    )
    reader = ChatParser(0, EngineOutput(parser, MARKERS, cast(Tokenizer, Bytes())))
    events = [event for raw, ids in chunks for event in reader.push("", raw, ids)]
    events += reader.finish()
    thoughts = "".join(e.text for e in events if isinstance(e, ReasoningDelta))
    content = "".join(e.text for e in events if isinstance(e, ContentDelta))
    names = [e.name for e in events if isinstance(e, ToolCallStart)]
    arguments = [
        "".join(e.text for e in events if isinstance(e, ToolCallArguments) and e.call == i)
        for i in range(len(names))
    ]
    assert reader.num_calls == len(names)
    return thoughts, content, list(zip(names, map(json.loads, arguments), strict=True))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_cut_and_any_delay_gives_the_same(data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(OUTPUT)), max_size=12))
    bounds = sorted({0, len(OUTPUT), *cuts})
    whole = b"".join(map(Bytes().token_bytes, OUTPUT))
    chunks, written, come = [], 0, 0
    for begin, end in itertools.pairwise(bounds):
        ids = OUTPUT[begin:end]
        written += sum(len(Bytes().token_bytes(token)) for token in ids)
        last = end == len(OUTPUT)
        upto = written if last else data.draw(st.integers(come, written))  # a stop string may come
        chunks.append((whole[come:upto], ids))
        come = upto
    assert read(chunks) == SPOKEN


def test_markers_after_a_stop_string_do_not_count() -> None:
    spoken = "stop here"
    tokens = [*spoken.encode(), 2, *CALL.encode(), 3]
    assert read([(b"stop ", tokens)]) == ("", "stop ", [])
