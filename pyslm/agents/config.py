"""`Config`: what an agent is, and which model it runs on."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeVar

from pyslm.errors import AgentConfigError

__all__ = ["PROFILES", "PROVIDERS", "Config", "Provider", "refuse_unknown"]

Provider = Literal["auto", "local", "foundry-local", "pyslm", "ollama", "vllm", "openai"]
PROVIDERS: tuple[Provider, ...] = (
    "auto", "local", "foundry-local", "pyslm", "ollama", "vllm", "openai",
)  # fmt: skip
PROFILES = ("HIPAA", "GDPR", "PCI")

_T = TypeVar("_T")
_TEXTS = ("name", "role", "context")
_OPTIONAL_TEXTS = ("model_id", "model_alias", "endpoint", "api_key")
_FLAGS = (
    "offline_mode", "privacy_mode", "plan", "memory", "summarize", "parallel_tool_calls",
)  # fmt: skip


def refuse_unknown(cls: type[_T]) -> type[_T]:
    """Class decorator: keywords that the class does not know are told with those that look alike.

    Raises (the decorated class, when made):
        AgentConfigError: an unknown keyword.
    """
    known = [field.name for field in dataclasses.fields(cls) if field.init]  # type: ignore[arg-type]
    init = cls.__init__

    @functools.wraps(init)
    def checked(self: _T, *values: Any, **named: Any) -> None:
        for name in named:
            if name not in known:
                raise AgentConfigError(unknown(cls.__name__, name, known))
        init(self, *values, **named)

    cls.__init__ = checked  # type: ignore[assignment]
    return cls


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not known."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"allowed: {', '.join(known)}"
    return f"{what} has no {name!r}; {hint}"


@refuse_unknown
@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What an agent is. Every field is checked when it is made.

    ::

        Config(name="support", model_alias="phi-4-mini", context="You help customers.")

    Raises:
        AgentConfigError: an unknown keyword, or a value that is not allowed.
    """

    name: str = "agent"
    """In logs, in policies, and for other agents."""
    role: str = ""
    """What its job is, in a few words: part of the system message."""
    context: str = ""
    """What it shall know and heed: the rest of the system message."""
    specialized_for: str | Sequence[str] = ()
    """The kinds of requests that an orchestrator sends to it."""

    model_provider: Provider = "auto"
    """Where the model runs. "local": in this process. "pyslm" and "foundry-local": in the `pyslm
    serve` that runs in the background, or in this process where none runs and no endpoint is
    given. "ollama", "vllm", "openai": at that server's usual address. "auto": at `endpoint` if
    given, else as "pyslm"."""
    model_alias: str | None = None
    """A name that `pyslm list` or the server knows, or the path of a GGUF file. None: at a server,
    the first model that it has; in this process `nano`, which comes with the package."""
    model_id: str | None = None
    """The same, as an exact id; it goes before the alias."""
    fallback_models: Sequence[str] = ()
    """Smaller models, to go to one after the other when a monitor asks to scale down."""
    endpoint: str | None = None
    """The base URL of an OpenAI-compatible server, as "http://127.0.0.1:8000/v1"."""
    api_key: str | None = dataclasses.field(default=None, repr=False)

    max_tokens: int = 512
    """Of each reply of the model."""
    temperature: float = 0.1
    seed: int | None = None
    timeout: float = 30.0
    """Seconds that one reply of the model, or one call of a tool, may take."""
    max_steps: int = 10
    """Replies of the model to one request, at most; the last one may call no tools."""
    max_repeats: int = 3
    """So many times the same calls with the same results are a loop, which is ended."""
    max_result_chars: int = 20_000
    """Of a tool's result, what the model is told."""
    parallel_tool_calls: bool = True
    context_tokens: int | None = None
    """What prompt and reply may take; what is older is left out. None: as the model says, or 4096
    where it does not."""
    summarize: bool = False
    """Of what is left out, keep a summary that the model writes."""
    plan: bool = False
    """Write a plan first, then follow it."""
    memory: bool = False
    """Offer tools to remember and recall facts for longer than a session."""

    offline_mode: bool = False
    """Never ask a model beyond this machine."""
    privacy_mode: bool = False
    """Nothing leaves this machine: neither requests to models nor what tools would send; logs hold
    no personal data."""
    compliance: Sequence[str] = ()
    """Profiles to keep to: "HIPAA", "GDPR", "PCI"; each implies `privacy_mode`."""

    def __post_init__(self) -> None:
        for name in _TEXTS:
            _check(name, getattr(self, name), str, "text")
        for name in _OPTIONAL_TEXTS:
            value = getattr(self, name)
            _check(name, value, (str, type(None)), "text, or None")
            if value == "":
                raise AgentConfigError(f"{name} is empty; leave it out")
        for name in _FLAGS:
            _check(name, getattr(self, name), bool, "True or False")
        if not self.name:
            raise AgentConfigError("name is empty; allowed: text of at least one character")
        _check_choice("model_provider", self.model_provider, PROVIDERS)
        if self.endpoint is not None and not self.endpoint.startswith(("http://", "https://")):
            raise AgentConfigError(
                f"endpoint is {self.endpoint!r:.100}; allowed: a URL that begins with http:// or "
                "https://"
            )
        _check_number("max_tokens", self.max_tokens, 1, 2**31 - 1, whole=True)
        _check_number("max_steps", self.max_steps, 1, 1000, whole=True)
        _check_number("max_repeats", self.max_repeats, 2, 1000, whole=True)
        _check_number("max_result_chars", self.max_result_chars, 100, 2**31 - 1, whole=True)
        _check_number("temperature", self.temperature, 0.0, 100.0)
        _check_number("timeout", self.timeout, 0.001, 86400.0)
        if self.context_tokens is not None:
            _check_number("context_tokens", self.context_tokens, 64, 2**31 - 1, whole=True)
        if self.seed is not None:
            _check_number("seed", self.seed, 0, 2**63 - 1, whole=True)
        self._set("specialized_for", _texts("specialized_for", self.specialized_for))
        self._set("fallback_models", _texts("fallback_models", self.fallback_models))
        self._set("compliance", _profiles(self.compliance))
        if self.compliance:
            self._set("privacy_mode", True)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def model(self) -> str | None:
        """The name to ask for."""
        return self.model_id or self.model_alias

    @property
    def specialties(self) -> tuple[str, ...]:
        """`specialized_for`, as a tuple."""
        return tuple(self.specialized_for)

    @property
    def system_message(self) -> str:
        """Role and context in one text; empty where there are none."""
        role = f"Your role: {self.role}." if self.role else ""
        return "\n\n".join(part for part in (role, self.context) if part)

    def replace(self, **changes: Any) -> Config:
        """A copy with some fields changed, checked again."""
        return dataclasses.replace(self, **changes)


def _check(name: str, value: object, kind: Any, allowed: str) -> None:
    if not isinstance(value, kind):
        raise AgentConfigError(f"{name} is {value!r:.100}; allowed: {allowed}")


def _check_choice(name: str, value: object, allowed: Sequence[str]) -> None:
    if value not in allowed:
        near = difflib.get_close_matches(str(value), allowed, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise AgentConfigError(f"{name} is {value!r:.100}; {hint}allowed: {', '.join(allowed)}")


def _check_number(name: str, value: Any, low: float, high: float, *, whole: bool = False) -> None:
    kinds = (int,) if whole else (int, float)
    sound = isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
    if not sound or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise AgentConfigError(f"{name} is {value!r:.100}; allowed: {kind} from {low} to {high}")


def _texts(name: str, value: Any) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, Sequence) or not all(isinstance(t, str) and t for t in texts):
        raise AgentConfigError(f"{name} is {value!r:.100}; allowed: a text, or a list of texts")
    return tuple(texts)


def _profiles(value: Any) -> tuple[str, ...]:
    names = _texts("compliance", value)
    for name in names:
        _check_choice("compliance", name.upper(), PROFILES)
    return tuple(name.upper() for name in names)
