"""/v1/responses: conversations that the server keeps.

`request` and `items` read, and make of it what the chat route would have sent; `answer` makes items
and events of what comes back; `store` keeps both.
"""

from __future__ import annotations

from pyslm.serve.openai.responses.routes import add_routes

__all__ = ["add_routes"]
