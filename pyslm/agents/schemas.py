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
    for part in (schema, *schema.get("$defs", {}).values()):
        part.pop("title", None)
        if "properties" in part:
            part.setdefault("additionalProperties", False)
    return schema
