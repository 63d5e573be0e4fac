"""An answer as items, and each step to it as an event of the Responses API."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from pyslm.serve.openai.logprobs import chat_logprobs
from pyslm.serve.openai.responses.items import Item, new_item_id
from pyslm.serve.protocol import (
    ContentDelta,
    Event,
    Finished,
    ReasoningDelta,
    ServeError,
    Started,
    TokenEntry,
    TokensDelta,
    ToolCallArguments,
    ToolCallStart,
)

__all__ = ["Answer"]

StreamEvent = dict[str, Any]


class Answer:
    """Grows by what the model reports. `response` is the whole of it at any time."""

    def __init__(self, response: dict[str, Any], *, with_logprobs: bool = False) -> None:
        """Begins.

        Args:
            response: the object, with an empty "output".
        """
        self.response = response
        self.output: list[Item] = response["output"]
        self._with_logprobs = with_logprobs
        self._tokens: list[TokenEntry] = []
        self._is_open = False

    def begin(self) -> Iterator[StreamEvent]:
        """Before anything has come."""
        yield {"type": "response.created", "response": self.response}
        yield {"type": "response.in_progress", "response": self.response}

    def add(self, event: Event) -> Iterator[StreamEvent]:
        """What comes of an event. To be run through even where nobody reads it."""
        if isinstance(event, TokensDelta):
            self._tokens += event.tokens
        elif isinstance(event, ContentDelta):
            yield from self._add_text(event.text)
        elif isinstance(event, ReasoningDelta):
            yield from self._add_thoughts(event.text)
        elif isinstance(event, ToolCallStart):
            yield from self._open(
                {
                    "type": "function_call",
                    "id": new_item_id("function_call"),
                    "call_id": event.id,
                    "name": event.name,
                    "arguments": "",
                    "status": "in_progress",
                }
            )
        elif isinstance(event, ToolCallArguments):
            self._tokens.clear()
            self.output[-1]["arguments"] += event.text
            yield self._of_item("response.function_call_arguments.delta", delta=event.text)
        elif isinstance(event, Finished):
            yield from self._finish(event)
        else:
            assert isinstance(event, Started)

    def end(self) -> Iterator[StreamEvent]:
        """After the last event."""
        yield {"type": f"response.{self.response['status']}", "response": self.response}

    def fail(self, error: ServeError) -> Iterator[StreamEvent]:
        """In place of what would have come."""
        code = "server_error" if error.status >= 500 else "invalid_prompt"
        self.response["status"] = "failed"
        self.response["error"] = {"code": code, "message": error.message}
        yield {"type": "error", "code": code, "message": error.message, "param": error.param}
        yield {"type": "response.failed", "response": self.response}

    def _add_text(self, text: str) -> Iterator[StreamEvent]:
        if not self._is_in("message"):
            yield from self._open(
                {
                    "type": "message",
                    "id": new_item_id("message"),
                    "status": "in_progress",
                    "role": "assistant",
                    "content": [],
                },
                {"type": "output_text", "text": "", "annotations": [], "logprobs": []},
            )
        logprobs = self._take_logprobs()
        part = self.output[-1]["content"][0]
        part["text"] += text
        part["logprobs"] += logprobs
        yield self._of_part("response.output_text.delta", delta=text, logprobs=logprobs)

    def _add_thoughts(self, text: str) -> Iterator[StreamEvent]:
        self._tokens.clear()  # likelihoods are those of the text
        if not self._is_in("reasoning"):
            yield from self._open(
                {
                    "type": "reasoning",
                    "id": new_item_id("reasoning"),
                    "summary": [],
                    "content": [],
                    "status": "in_progress",
                },
                {"type": "reasoning_text", "text": ""},
            )
        self.output[-1]["content"][0]["text"] += text
        yield self._of_part("response.reasoning_text.delta", delta=text)

    def _take_logprobs(self) -> list[dict[str, Any]]:
        tokens, self._tokens = self._tokens, []
        if not self._with_logprobs:
            return []
        found: list[dict[str, Any]] = chat_logprobs([t for t in tokens if t.raw])["content"]
        return found

    def _is_in(self, kind: str) -> bool:
        return self._is_open and self.output[-1]["type"] == kind

    def _open(self, item: Item, part: dict[str, Any] | None = None) -> Iterator[StreamEvent]:
        yield from self._close("completed")
        if item["type"] == "function_call":
            self._tokens.clear()
        self.output.append(item)
        self._is_open = True
        yield self._whole_item("response.output_item.added")
        if part is not None:
            yield self._of_part("response.content_part.added", part=dict(part))
            item["content"].append(part)

    def _close(self, status: str) -> Iterator[StreamEvent]:
        if not self._is_open:
            return
        self._is_open = False
        item = self.output[-1]
        item["status"] = status
        if item["type"] == "function_call":
            yield self._of_item(
                "response.function_call_arguments.done",
                name=item["name"],
                arguments=item["arguments"],
            )
        else:
            part = item["content"][0]
            if item["type"] == "message":
                part["logprobs"] += self._take_logprobs()
                yield self._of_part(
                    "response.output_text.done", text=part["text"], logprobs=part["logprobs"]
                )
            else:
                yield self._of_part("response.reasoning_text.done", text=part["text"])
            yield self._of_part("response.content_part.done", part=part)
        yield self._whole_item("response.output_item.done")

    def _finish(self, event: Finished) -> Iterator[StreamEvent]:
        status = "incomplete" if event.reason in ("length", "abort") else "completed"
        if not self.output:  # the model had nothing to say, and clients want a message
            yield from self._add_text("")
        yield from self._close(status)
        response = self.response
        response["status"] = status
        if event.reason == "length":
            response["incomplete_details"] = {"reason": "max_output_tokens"}
        if status == "completed":
            response["completed_at"] = int(time.time())
        response["usage"] = {
            "input_tokens": event.prompt_tokens,
            "input_tokens_details": {"cached_tokens": event.cached_tokens, "cache_write_tokens": 0},
            "output_tokens": event.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": event.reasoning_tokens},
            "total_tokens": event.prompt_tokens + event.completion_tokens,
        }

    def _whole_item(self, kind: str) -> StreamEvent:
        return {"type": kind, "output_index": len(self.output) - 1, "item": self.output[-1]}

    def _of_item(self, kind: str, **more: Any) -> StreamEvent:
        item = self.output[-1]
        return {"type": kind, "item_id": item["id"], "output_index": len(self.output) - 1, **more}

    def _of_part(self, kind: str, **more: Any) -> StreamEvent:
        return self._of_item(kind, content_index=0, **more)
