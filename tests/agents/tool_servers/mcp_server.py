"""A server of tools, as a process: `mcp_server.py FOLDER [PORT]`. Written with the official SDK.

FOLDER holds `description.txt`, what `add` says of itself, and gets `started`, a line a start.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Annotated

from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

folder = Path(sys.argv[1])
server = MCPServer("sums", log_level="ERROR")


Small = Annotated[int, Field(ge=0, le=99)]


def add(a: Small, b: Small) -> int:
    return a + b


def describe() -> str:
    return (folder / "description.txt").read_text()


server.add_tool(add, description=describe(), annotations=ToolAnnotations(read_only_hint=True))


@server.tool()
def become(description: str) -> str:
    """Changes what `add` says of itself."""
    server.remove_tool("add")
    server.add_tool(add, description=description)
    return "done"


@server.tool()
async def slow(seconds: float) -> str:
    """Waits."""
    await asyncio.sleep(seconds)
    return "waited"


@server.tool()
async def hang() -> str:
    """Does nothing any more, and does not end when it is asked to."""
    (folder / "pid").write_text(str(os.getpid()))
    time.sleep(60)
    return "never"


@server.tool()
def die() -> str:
    """Ends the process."""
    os._exit(3)


@server.tool()
def fail(reason: str) -> str:
    """Cannot do it."""
    raise ToolError(reason)


@server.tool()
def picture() -> Image:
    """Gives a picture."""
    return Image(data=b"\x89PNG", format="png")


@server.tool()
def secrets() -> str:
    """Tells its environment."""
    return " ".join(sorted(os.environ))


with (folder / "started").open("a") as file:
    file.write(f"{os.getpid()}\n")
print("a server that talks", file=sys.stderr)
if len(sys.argv) > 2:
    server.run("streamable-http", port=int(sys.argv[2]))
else:
    server.run()
