"""What the generator makes: tools, and conversations that share them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pyslm.finetune.data.template import Template
from pyslm.finetune.data.value import Value

__all__ = ["Branch", "Given", "OwnData", "Param", "Scene", "ToolSpec"]


@dataclasses.dataclass(frozen=True, slots=True)
class Param:
    """An argument of a tool.

    Attributes:
        slot: its name in the request templates of its tool; "" where they have no place for it.
        key: its name in the schema.
        words: how a person says that name.
        maker: the function of `Values` that makes its values; "choice" and "flag" have none.
        carriers: phrases that bring a value into a request.
        schema: the JSON schema of the value.
        samples: likely values of a text, beside what the maker makes.
    """

    slot: str
    key: str
    words: str
    maker: str
    carriers: tuple[str, ...]
    schema: Mapping[str, Any]
    required: bool
    samples: tuple[str, ...] = ()

    @property
    def is_text(self) -> bool:
        """Free text: where it stands without quotes, nothing can follow it."""
        return self.maker in ("sentence", "title", "query")


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """An argument with the value that a request brings; a `bare` one is said without its name."""

    param: Param
    value: Value
    bare: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool with the ways to ask for it.

    Attributes:
        topic: two tools of the same topic never meet in a scene.
        acts: what it does, as orders without arguments ("send an e-mail").
        stems: requests that share words with name or description.
        paras: requests that share none.
        nouns: what it is about, in its own words and in others.
        things: what it answers ("weather"), for questions; empty for tools that do something.
        gives: keys of its result with the makers of their values.
        declared: the tool as its owner wrote it; None: made of the parameters.
        titles: what it is about, for short requests without a verb ("forecast, Oslo").
    """

    topic: str
    name: str
    description: str
    params: tuple[Param, ...]
    acts: tuple[str, ...]
    para_acts: tuple[str, ...]
    stems: tuple[Template, ...]
    paras: tuple[Template, ...]
    nouns: tuple[str, ...]
    things: tuple[str, ...]
    para_things: tuple[str, ...]
    gives: tuple[tuple[str, str], ...]
    declared: Mapping[str, Any] | None = None
    titles: tuple[str, ...] = ()

    def described(self) -> dict[str, Any]:
        """The tool as OpenAI's API has it."""
        if self.declared is not None:
            return dict(self.declared)
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {param.key: dict(param.schema) for param in self.params},
        }
        required = [param.key for param in self.params if param.required]
        if required:
            schema["required"] = required
        function = {"name": self.name, "description": self.description, "parameters": schema}
        return {"type": "function", "function": function}


@dataclasses.dataclass(frozen=True, slots=True)
class Branch:
    """One conversation, as OpenAI's messages; what assistants say in it is to be learned."""

    category: str
    messages: tuple[dict[str, Any], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """Conversations with the same system prompt and the same tools, each beginning anew."""

    system: str | None
    tools: tuple[dict[str, Any], ...]
    branches: tuple[Branch, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class OwnData:
    """A person's own tools and conversations, which come up more often than what is invented."""

    catalog: tuple[ToolSpec, ...] = ()
    conversations: tuple[Scene, ...] = ()
