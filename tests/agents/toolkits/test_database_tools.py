"""The toolkit `database` on real SQLite files. Contract: E23."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyslm.agents import Allow, Policy, Tool
from pyslm.agents.models.model import Call
from pyslm.agents.toolbox import Toolbox, ToolResult
from pyslm.agents.toolkits import named_tools, toolkit_names
from pyslm.agents.toolkits.database import database_tools
from pyslm.errors import AgentConfigError

Ask = Callable[..., Any]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "a shop?#%.db"  # a name that a URI has to quote
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(
            """
            CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL, photo BLOB);
            INSERT INTO items (name, price) VALUES ('lamp', 20), ('desk', 150), ('O''Neil', NULL);
            UPDATE items SET photo = x'0102' WHERE id = 1;
            """
        )
    return path


def content(path: Path) -> list[Any]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT * FROM items ORDER BY id").fetchall()


def called(tools: list[Tool], name: str, /, **arguments: Any) -> ToolResult:
    """As a model calls it."""
    call = Call("c1", name, json.dumps(arguments))
    return asyncio.run(Toolbox(tools).run([call]))[0]


def test_reads(shop: Path) -> None:
    tools = database_tools(shop)
    assert [tool.name for tool in tools] == ["database_tables", "database_query"]
    assert "CREATE TABLE items" in called(tools, "database_tables").content
    result = called(
        tools, "database_query", sql="SELECT name, price, photo FROM items WHERE price < ?",
        parameters=[100],
    )  # fmt: skip
    assert json.loads(result.content) == {
        "columns": ["name", "price", "photo"],
        "rows": [["lamp", 20.0, "<2 bytes>"]],
    }
    named = called(tools, "database_query", sql="SELECT id FROM items WHERE name = ?",
                   parameters=["O'Neil"])  # fmt: skip
    assert json.loads(named.content)["rows"] == [[3]]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO items (name) VALUES ('x')",
        "UPDATE items SET price = 0",
        "DELETE FROM items",
        "DROP TABLE items",
        "CREATE TABLE more (x)",
        "ALTER TABLE items ADD COLUMN x",
        "ATTACH DATABASE 'other.db' AS other",
        "PRAGMA query_only = OFF",
        "PRAGMA writable_schema = 1",
        "VACUUM INTO 'copy.db'",
        "BEGIN",
        "COMMIT",
        "SELECT load_extension('x')",
        "SELECT 1; DELETE FROM items",
        "WITH x AS (SELECT 1) DELETE FROM items",
        "SELECT * FROM no_table",
        "nonsense",
        "",
    ],
)
def test_reading_is_all_that_a_query_does(
    shop: Path, sql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop.parent)
    before = content(shop)
    result = called(database_tools(shop, writable=True), "database_query", sql=sql)
    assert result.outcome == "failed", result.content
    assert content(shop) == before
    assert {path.name for path in shop.parent.iterdir()} == {shop.name}


def test_changes(shop: Path) -> None:
    tools = database_tools(shop, writable=True, max_changes=2)
    change = tools[-1]
    assert (change.name, change.sensitive, change.writes) == ("database_change", True, True)
    result = called(tools, "database_change", sql="UPDATE items SET price = ? WHERE id = 1",
                    parameters=[25])  # fmt: skip
    assert json.loads(result.content) == {"changed_rows": 1}
    assert content(shop)[0][2] == 25
    before = content(shop)
    for sql in (
        "UPDATE items SET price = 1",  # three rows, two are allowed
        "DROP TABLE items",
        "UPDATE sqlite_master SET sql = ''",
        "INSERT INTO items (name) VALUES (NULL)",
        "ATTACH 'x.db' AS x",
    ):
        assert called(tools, "database_change", sql=sql).outcome == "failed"
        assert content(shop) == before


def test_a_policy_must_name_the_change(shop: Path) -> None:
    change = database_tools(shop, writable=True)[-1]
    arguments = {"sql": "DELETE FROM items", "parameters": []}
    assert Policy(default="allow").decide([], None, change, arguments).verdict == "deny"
    wide = Policy(roles={"clerk": ["database_*"]})
    assert wide.decide(["clerk"], None, change, arguments).verdict == "deny"
    named = Policy(roles={"clerk": [Allow("database_change", approval=True)]})
    assert named.decide(["clerk"], None, change, arguments).verdict == "ask"


def test_bounds(shop: Path) -> None:
    tools = database_tools(shop, max_rows=2, timeout=0.2)
    shown = json.loads(called(tools, "database_query", sql="SELECT id FROM items").content)
    assert shown["rows"] == [[1], [2]]
    assert "first 2 rows" in shown["cut_off"]
    began = time.monotonic()
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    result = called(tools, "database_query", sql=endless)
    assert "longer than 0.2 s" in result.content
    assert time.monotonic() - began < 5
    large = called(tools, "database_query", sql="SELECT hex(zeroblob(100000000))")
    assert large.outcome == "failed"
    long = called(tools, "database_query", sql="SELECT hex(zeroblob(5000))")
    assert len(long.content) < 2200


def test_settings(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert toolkit_names()[:3] == ("database", "calendar", "email")
    tools = named_tools("database", {"path": shop.name, "max_rows": 5}, shop.parent)
    assert called(tools, "database_query", sql="SELECT 1").ok
    monkeypatch.setenv("PYSLM_TOOLS_DIR", str(tmp_path / "own"))
    assert json.loads(called(named_tools("database"), "database_tables").content) == []
    (tmp_path / "text.db").write_text("no database, but a long text " * 50)
    for settings, told in (
        ({"pth": "x"}, "did you mean path"),
        ({"path": "none.db"}, "there is no database"),
        ({"path": "text.db"}, "is no SQLite database"),
        ({"max_rows": "many"}, "max_rows"),
        ({"max_rows": 0}, "above 0"),
    ):
        with pytest.raises(AgentConfigError, match=told):
            named_tools("database", settings, tmp_path)
    with pytest.raises(AgentConfigError, match="did you mean database"):
        named_tools("databse")


def test_others_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_tools.py").write_text(
        "from pathlib import Path\nfrom pyslm import Tool\n"
        "def shop(city: str, stock: Path = Path('stock')):\n"
        "    def where() -> str:\n"
        "        '''Tells where.'''\n"
        "        return f'{city} {stock}'\n"
        "    return [Tool(where)]\n"
    )
    info = tmp_path / "shop_tools-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-tools\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[pyslm.tools]\nshop = shop_tools:shop\nbroken = shop_tools:none\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert {"shop", "broken"} < set(toolkit_names())
    tools = named_tools("shop", {"city": "Oslo", "stock": "here"}, Path("folder"))
    assert called(tools, "where").content == "Oslo folder/here"
    with pytest.raises(AgentConfigError, match="city"):
        named_tools("shop")
    with pytest.raises(AgentConfigError, match="AttributeError"):
        named_tools("broken")
