"""YAML with the lines that things stand on, of files that may be hostile.

Anchors and aliases are refused: a few lines of them can say gigabytes. So are tags, and keys that
come twice, the first of which other readers drop without a word.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from pyslm.errors import DeploymentError

__all__ = ["Section", "read_yaml"]

_MAX_BYTES = 1 << 20
_MAX_DEPTH = 20
_PREFIX = "tag:yaml.org,2002:"
_PLAIN = frozenset(f"{_PREFIX}{kind}" for kind in ("str", "int", "float", "bool", "null"))


def read_yaml(path: Path) -> Section:
    """The mapping that a file is.

    Raises:
        DeploymentError: it cannot be read, is no YAML, or is no mapping.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise DeploymentError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(raw) > _MAX_BYTES:
        raise DeploymentError(f"{path} has more than {_MAX_BYTES} bytes, which no deployment needs")
    loader: _Loader | None = None
    try:
        loader = _Loader(raw.decode("utf-8"))
        node = loader.get_single_node()
    except UnicodeDecodeError as error:
        raise DeploymentError(f"{path} is not UTF-8 text: {error}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        raise DeploymentError(f"{where}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise DeploymentError(f"{path} is no YAML: {error}") from None
    finally:
        if loader is not None:
            loader.dispose()
    if node is None:
        raise DeploymentError(f"{path} is empty; allowed: `deployment:` and what is in it")
    return Section(path, node, "the file")


class _Loader(yaml.SafeLoader):
    """One that refuses aliases and depth before it follows them."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="an alias (*name); allowed: what is meant, written out",
                problem_mark=mark,
            )
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"more than {_MAX_DEPTH} levels",
                problem_mark=mark,
            )
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


class Section:
    """A part of a file, and where it stands."""

    def __init__(self, path: Path, node: yaml.Node, what: str) -> None:
        self.path = path
        self.what = what
        """For messages: "a model"."""
        self.line = node.start_mark.line + 1
        self._node = node

    def fail(self, problem: str) -> NoReturn:
        """Raises a DeploymentError with file and line."""
        raise DeploymentError(f"{self.path}:{self.line}: {problem}")

    def fields(self, allowed: Iterable[str], required: Iterable[str] = ()) -> dict[str, Section]:
        """The parts of a mapping. Raises DeploymentError where it is none, or has other keys."""
        found = self.entries()
        known = sorted(allowed)
        for name, part in found.items():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(known)}"
                part.fail(f"{self.what} has no {name!r:.80}; {hint}")
        for name in required:
            if name not in found:
                self.fail(f"{self.what} has no {name}, which it needs")
        return found

    def entries(self) -> dict[str, Section]:
        """The parts of a mapping with any keys; each stands where its key does."""
        if not isinstance(self._node, yaml.MappingNode):
            self.fail(f"{self.what} is {self._seen()}; allowed: keys with values")
        found: dict[str, Section] = {}
        for key, node in self._node.value:
            name = Section(self.path, key, "a key").text()
            part = Section(self.path, node, name)
            part.line = key.start_mark.line + 1
            if name in found:
                part.fail(f"{self.what} has {name} twice")
            found[name] = part
        return found

    def items(self, what: str) -> list[Section]:
        """The parts of a list, each of which is `what`; a list has at least one."""
        if not isinstance(self._node, yaml.SequenceNode) or not self._node.value:
            self.fail(f"{self.what} is {self._seen()}; allowed: a list, each item {what}")
        return [Section(self.path, node, what) for node in self._node.value]

    def text(self) -> str:
        """A text that is not empty."""
        value = self.plain()
        if not isinstance(value, str):
            self.fail(f"{self.what} is {self._seen()}; allowed: a text (in quotes, if need be)")
        if not value.strip():
            self.fail(f"{self.what} is empty")
        return value

    def name(self) -> str:
        """A text that can stand in a URL and in a table."""
        value = self.text()
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}", value):
            self.fail(f"{self.what} is {value!r:.80}; allowed: letters, digits and any of ._:/@+-")
        return value

    def flag(self) -> bool:
        """true or false."""
        value = self.plain()
        if not isinstance(value, bool):
            self.fail(f"{self.what} is {self._seen()}; allowed: true or false")
        return value

    def choice(self, allowed: Iterable[str]) -> str:
        """One of some texts."""
        value, known = self.text(), list(allowed)
        if value not in known:
            near = difflib.get_close_matches(value, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            self.fail(f"{self.what} is {value!r:.80}; {hint}allowed: {', '.join(known)}")
        return value

    def names(self, what: str) -> tuple[str, ...]:
        """A list of names that differ."""
        found: list[str] = []
        for item in self.items(what):
            name = item.name()
            if name in found:
                item.fail(f"{self.what} has {name} twice")
            found.append(name)
        return tuple(found)

    @property
    def is_mapping(self) -> bool:
        """Whether it has keys."""
        return isinstance(self._node, yaml.MappingNode)

    def plain(self) -> Any:
        """All of it as Python values."""
        node = self._node
        if isinstance(node, yaml.MappingNode):
            return {name: part.plain() for name, part in self.entries().items()}
        if isinstance(node, yaml.SequenceNode):
            return [part.plain() for part in self._children(node)]
        if node.tag not in _PLAIN:
            return self._untagged(node)
        try:
            return _scalar(node)
        except ValueError as error:
            self.fail(f"{self.what} cannot be read: {error}")

    def _children(self, node: yaml.SequenceNode) -> Iterator[Section]:
        return (Section(self.path, child, "an item") for child in node.value)

    def _untagged(self, node: yaml.Node) -> Any:
        """Dates and the like are texts here; what somebody has tagged is refused."""
        is_ours = node.tag.startswith(_PREFIX) and isinstance(node, yaml.ScalarNode)
        if not is_ours or node.tag.endswith(("binary", "merge")):
            self.fail(f"the tag {node.tag!r:.60}; allowed: plain values")
        return node.value

    def _seen(self) -> str:
        if isinstance(self._node, yaml.ScalarNode):
            return repr(self._node.value)[:80] or "nothing"
        if isinstance(self._node, yaml.SequenceNode):
            return "a list" if self._node.value else "an empty list"
        return "a mapping"


def _scalar(node: yaml.Node) -> Any:
    constructor = yaml.constructor.SafeConstructor()
    return constructor.construct_object(node)
