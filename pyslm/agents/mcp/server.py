"""`McpServer`: a server of tools, and how far it is trusted."""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from pyslm.agents.config import Config, refuse_unknown
from pyslm.agents.security.privacy import is_near
from pyslm.errors import AccessDeniedError, AgentConfigError

__all__ = ["McpServer"]

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]|_(?!_)){0,31}(?<!_)")
_PATTERNS = ("allow", "read_only", "sensitive")


@refuse_unknown
@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    """A server whose tools an agent may use: a command that speaks MCP on its standard streams, or
    the URL of one that speaks streamable HTTP.

    ::

        McpServer(name="files", command=["mcp-files", "--root", "notes"], allow=["read_*"])

    The agent knows a tool as "<server>__<tool>": no server can take another's names.

    Raises:
        AgentConfigError: an unknown keyword, or a value that is not allowed.
    """

    name: str
    command: Sequence[str] = ()
    """The program and its arguments. It gets a small environment, and `env`."""
    url: str | None = None
    env: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    cwd: str | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    """Sent to `url`: a key, for instance."""

    allow: Sequence[str] = ("*",)
    """Names of tools, and patterns: others are neither offered nor called."""
    pins: Mapping[str, str] | None = None
    """Tool -> hash of its definition, as `pyslm agent pins` shows them: what differs or is not
    named is refused. None: what each tool is when it is first seen is kept, and holds."""
    timeout: float = 30.0
    """Seconds that a call may take."""
    start_timeout: float = 15.0
    """Seconds until the server must have said which tools it has."""

    trusted: bool = False
    """Whether results are as good as the user's own words; see `Tool.trusted`."""
    read_only: Sequence[str] = ()
    """Names and patterns of tools that change nothing, besides those of which the server says so;
    all others are `Tool.writes`."""
    sensitive: Sequence[str] = ()
    """Names and patterns of tools that need a rule of their own; see `Tool.sensitive`."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise AgentConfigError(
                f"name of an MCP server is {self.name!r:.80}; allowed: 1 to 32 letters, digits, - "
                "and single _, the first and the last no _"
            )
        if bool(self.command) == (self.url is not None):
            raise AgentConfigError(
                f"the MCP server {self.name} has {'both' if self.command else 'neither'} command "
                f"{'and' if self.command else 'nor'} url; give one of them"
            )
        for name in ("command", *_PATTERNS):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(v, str) and v for v in value):
                raise AgentConfigError(f"{name} is {value!r:.80}; allowed: a list of texts")
            object.__setattr__(self, name, tuple(value))
        if self.url is not None and not self.url.startswith(("http://", "https://")):
            raise AgentConfigError(
                f"url is {self.url!r:.100}; allowed: one that begins with http:// or https://"
            )
        for name in ("timeout", "start_timeout"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise AgentConfigError(f"{name} is {value!r:.80}; allowed: seconds above 0")

    @property
    def key(self) -> str:
        """Under which its tools are pinned: another command or URL is another server."""
        address = json.dumps([*self.command, self.cwd] if self.command else self.url)
        return f"{self.name}:{hashlib.sha256(address.encode()).hexdigest()[:16]}"

    def has(self, which: str, tool: str) -> bool:
        """Whether one of `allow`, `read_only` or `sensitive` names a tool."""
        return any(fnmatch.fnmatchcase(tool, pattern) for pattern in getattr(self, which))

    def check_reach(self, config: Config) -> None:
        """Raises AccessDeniedError for a server that `privacy_mode` forbids."""
        if not config.privacy_mode:
            return
        if self.url is None:
            raise AccessDeniedError(
                f"{config.name} has privacy_mode, and the MCP server {self.name} is a program that "
                "could reach other machines; start it yourself where it cannot, and give its url"
            )
        if not is_near(urlsplit(self.url).hostname or ""):
            raise AccessDeniedError(
                f"{config.name} has privacy_mode, and the MCP server {self.name} is beyond this "
                "machine; name one on this machine"
            )
