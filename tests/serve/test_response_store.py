"""What is kept of conversations, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyslm.errors import InvalidRequestError
from pyslm.serve.openai.responses.store import ResponseStore, StoredResponse
from pyslm.serve.protocol import ServeError


@contextlib.contextmanager
def opened(path: Path | None = None, **options: Any) -> Iterator[ResponseStore]:
    store = ResponseStore(path, **options)
    yield store
    store.close()


def turn(number: int, previous: int | None = None) -> StoredResponse:
    before = None if previous is None else f"resp_{previous}"
    body = {
        "id": f"resp_{number}",
        "previous_response_id": before,
        "output": [{"id": f"out_{number}", "type": "message"}],
    }
    return StoredResponse(body=body, inputs=[{"id": f"in_{number}", "type": "message"}])


def is_kept(store: ResponseStore, number: int, owner: str = "me") -> bool:
    try:
        asyncio.run(store.get(owner, f"resp_{number}"))
    except ServeError as error:
        return error.kind != "not_found"
    return True


def test_a_conversation_is_in_its_order_and_breaks_where_a_turn_is_gone() -> None:
    async def run(store: ResponseStore) -> None:
        for number in range(4):
            await store.put("me", turn(number, number - 1 if number else None))
        items = await store.conversation("me", "resp_3")
        expected = [name for i in range(4) for name in (f"in_{i}", f"out_{i}")]
        assert [item["id"] for item in items] == expected
        await store.delete("me", "resp_1")
        with pytest.raises(ServeError, match="resp_1"):
            await store.conversation("me", "resp_3")
        assert await store.item("me", "in_1") is None

    with opened() as store:
        asyncio.run(run(store))


def test_the_longest_unused_go_first() -> None:
    with opened(max_count=10) as store:
        for number in range(10):
            asyncio.run(store.put("me", turn(number)))
        assert is_kept(store, 0)  # which uses it
        for number in range(10, 15):
            asyncio.run(store.put("me", turn(number)))
        assert [number for number in range(15) if is_kept(store, number)] == [0, *range(6, 15)]


def test_what_is_too_old_is_gone() -> None:
    with opened(max_age=0.0) as store:
        asyncio.run(store.put("me", turn(0)))
        assert not is_kept(store, 0)


def test_another_owner_finds_nothing() -> None:
    with opened() as store:
        asyncio.run(store.put("me", turn(0)))
        assert not is_kept(store, 0, "you")
        with pytest.raises(ServeError):
            asyncio.run(store.delete("you", "resp_0"))
        assert asyncio.run(store.item("you", "in_0")) is None
        assert is_kept(store, 0)


def test_a_file_of_the_future_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(InvalidRequestError, match="version 99"):
        ResponseStore(path)
