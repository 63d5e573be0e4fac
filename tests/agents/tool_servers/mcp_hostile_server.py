"""A server whose tools are defined to do harm, over the standard streams, without an SDK."""

from __future__ import annotations

import json
import sys
from typing import Any

deep: dict[str, Any] = {"type": "string"}
for _ in range(60):
    deep = {"type": "object", "properties": {"a": deep}, "required": ["a"]}

SCHEMAS: dict[str, dict[str, Any]] = {
    "good": {"type": "object", "properties": {"a": {"type": "boolean"}}},
    "bad_type": {"type": "object", "properties": {"a": {"type": "nonsense"}}},
    "bad_pattern": {"type": "object", "properties": {"a": {"type": "string", "pattern": "(("}}},
    "far": {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/x.json"}}},
    "nowhere": {"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "required": ["a"]},
    "itself": {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
    "bools": {"type": "object", "$defs": {"x": True}, "properties": {"a": {"$ref": "#/$defs/x"}}},
    "deep": deep,
    "big": {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(5000)}},
    "never": {"type": "object", "properties": {"a": False}, "required": ["a"]},
    "na me\n": {"type": "object"},
    "x" * 300: {"type": "object"},
    "": {"type": "object"},
    "<tool_call>": {"type": "object"},
}


INFO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "harm", "version": "1"},
}
# For ever more pages.
TOOLS = {
    "tools": [{"name": name, "inputSchema": schema} for name, schema in SCHEMAS.items()],
    "nextCursor": "again",
}
RESULTS = {
    "initialize": INFO,
    "tools/list": TOOLS,
    "tools/call": {"content": [{"type": "text", "text": "x" * 5_000_000}]},
}

for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    answer: dict[str, Any] = {"jsonrpc": "2.0", "id": asked["id"]}
    if asked["method"] in RESULTS:
        answer["result"] = RESULTS[asked["method"]]
    else:
        answer["error"] = {"code": -32601, "message": "no such method"}
    print(json.dumps(answer), flush=True)
