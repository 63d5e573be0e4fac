"""JSON schemas as pydantic writes them, made fit for models."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

__all__ = ["TitlelessSchema", "for_models"]


class TitlelessSchema(GenerateJsonSchema):
    """Fields get no titles, which say nothing and cost prompt tokens."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 (theirs)

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def for_models(schema: dict[str, Any]) -> dict[str, Any]:
    """Without titles; and objects have the properties that are listed, and no others: a model that
    may add some will."""
    definitions = schema.get("$defs")
    parts = [schema, *(definitions.values() if isinstance(definitions, dict) else ())]
    for part in parts:
        if not isinstance(part, dict):  # `true` is a schema, too
            continue
        part.pop("title", None)
        if "properties" in part:
            part.setdefault("additionalProperties", False)
    return schema
