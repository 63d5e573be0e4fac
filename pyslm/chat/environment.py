"""The Jinja environment of chat templates: sandboxed, bounded, and aware of who wrote what.

It renders what `transformers` renders (same options, extensions, globals and `tojson`), and gives
`Marked` strings: compiled templates wrap each of their own literals by `environment.literal`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pyslm.chat import limits, marked

__all__ = ["ChatEnvironment"]

_VALUES = (str, bytes, int, float, list, tuple, dict)
# Of no use to a prompt, and too much work in one operation.
_DROPPED_FILTERS = ("urlize", "striptags", "wordwrap", "pprint", "xmlattr", "random")


class _Generator(CodeGenerator):
    """Compiles literals to marked strings."""

    def _output_const_repr(self, group: Iterable[Any]) -> str:
        return f"environment.literal({''.join(map(str.__str__, map(str, group)))!r})"

    def visit_Const(self, node: nodes.Const, frame: Frame) -> None:  # noqa: N802
        value = node.as_const(frame.eval_ctx)
        if isinstance(value, str):
            self.write(f"environment.literal({str.__str__(value)!r})")
        else:
            super().visit_Const(node, frame)

    def visit_TemplateData(self, node: nodes.TemplateData, frame: Frame) -> None:  # noqa: N802, ARG002
        self.write(f"environment.literal({node.data!r})")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802
        self.write("environment.concat((")
        for part in node.nodes:
            self.write("str(")
            self.visit(part, frame)
            self.write("), ")
        self.write("))")


class _Generation(Extension):
    """`{% generation %}...{% endgeneration %}` marks what a model wrote, for training."""

    tags = {"generation"}  # noqa: RUF012 (jinja2's own declaration)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """See the module. One environment serves all templates and threads."""

    code_generator_class = _Generator
    intercepted_binops = frozenset({"+", "*", "**", "%"})
    literal = staticmethod(marked.literal)

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_Generation, loopcontrols],
            optimized=False,  # folded constants would come without marks
        )
        filters = {name: f for name, f in self.filters.items() if name not in _DROPPED_FILTERS}
        self.filters = {name: _bounded(name, call) for name, call in filters.items()}
        self.filters |= {"tojson": _to_json, "join": _join, "safe": lambda value: value}
        self.filters["_watched"] = limits.watched
        del self.globals["lipsum"]
        self.globals |= {"raise_exception": _raise_exception, "strftime_now": _strftime_now}

    @staticmethod
    def concat(pieces: Iterable[str]) -> str:
        """Joins pieces of output, keeping their marks, up to the output limit."""
        kept: list[str] = []
        num_chars = 0
        for piece in pieces:
            num_chars += len(piece)
            if num_chars > limits.MAX_OUTPUT_BYTES:
                raise SecurityError(f"wrote more than {limits.MAX_OUTPUT_BYTES} bytes")
            kept.append(piece)
        limits.check_size(num_chars)
        limits.check()
        return marked.join(kept)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template = super()._parse(source, name, filename)
        for loop in list(template.find_all(nodes.For)):
            loop.iter = nodes.Filter(loop.iter, "_watched", [], [], None, None, lineno=loop.lineno)
        return template

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        limits.check_operands(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        subject = getattr(obj, "__self__", None)
        if isinstance(subject, _VALUES):
            limits.check_arguments(obj.__name__, subject, [*args, *kwargs.values()])
        else:
            limits.check()
        return super().call(context, obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        if not isinstance(getattr(value, "__self__", None), str):
            return None
        pattern = str.__str__(value.__self__)
        wrapped = super().wrap_str_format(getattr(pattern, value.__name__))
        return None if wrapped is None else _bounded_format(pattern, wrapped)


def _bounded_format(pattern: str, call: Callable[..., str]) -> Callable[..., str]:
    def bounded(*args: Any, **kwargs: Any) -> str:
        limits.check_format(pattern, braces=True)
        limits.check_arguments("str.format", pattern, [*args, *kwargs.values()])
        return call(*args, **kwargs)

    return bounded


def _bounded(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that looks at the clock, and at its arguments, first."""
    num_leading = 1 if hasattr(call, "jinja_pass_arg") else 0

    @functools.wraps(call)  # keeps jinja2's attribute that asks for the context
    def bounded(*args: Any, **kwargs: Any) -> Any:
        subject, *rest = args[num_leading:] or (None,)
        limits.check_arguments(name, subject, [*rest, *kwargs.values()])
        result = call(*args, **kwargs)
        if hasattr(result, "__len__"):
            limits.check_size(len(result))
        return result

    return bounded


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without the HTML escapes of jinja2's own filter. All of it counts as quoted."""
    limits.check_arguments("tojson", None, [indent])
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _join(value: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
    if attribute is not None:
        value = (item[attribute] for item in value)
    pieces: list[str] = []
    for item in limits.watched(value):
        pieces += (str(separator), str(item)) if pieces else (str(item),)
    return ChatEnvironment.concat(pieces)


def _raise_exception(message: object) -> None:
    raise jinja2.TemplateError(str.__str__(str(message)))


def _strftime_now(pattern: str) -> str:
    limits.check_size(len(pattern) * 16)
    return datetime.now().strftime(pattern)
