"""Answers of a form: a pydantic model, any type that pydantic knows, or a JSON schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jsonschema
import pydantic

from pyslm.agents.schemas import ArgumentsSchema, for_models
from pyslm.errors import AgentConfigError

__all__ = ["AnswerFormat"]


class AnswerFormat:
    """A form that answers must have."""

    def __init__(self, form: Any) -> None:
        """
        Args:
            form: a pydantic model, a dataclass, a type such as list[int], or a JSON schema.

        Raises:
            AgentConfigError: it is none of these.
        """
        self._adapter: pydantic.TypeAdapter[Any] | None = None
        try:
            if isinstance(form, Mapping):
                jsonschema.Draft202012Validator.check_schema(dict(form))
                self.schema: Mapping[str, Any] = form
                self._validator = jsonschema.Draft202012Validator(dict(form))
            else:
                self._adapter = pydantic.TypeAdapter(form)
                self.schema = for_models(
                    self._adapter.json_schema(schema_generator=ArgumentsSchema)
                )
        except jsonschema.SchemaError as error:
            raise AgentConfigError(f"response_format is no JSON schema: {error.message}") from None
        except (pydantic.errors.PydanticUserError, TypeError, NameError) as error:
            raise AgentConfigError(
                f"response_format is {form!r:.80}; allowed: a pydantic model, a type that pydantic "
                f"can write as a schema, or a JSON schema ({str(error).splitlines()[0]})"
            ) from None

    def parse(self, text: str) -> Any:
        """The answer.

        Raises:
            ValueError: the text does not have the form; the message is for the model.
        """
        if self._adapter is not None:
            try:
                return self._adapter.validate_json(text)
            except pydantic.ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                where = ".".join(map(str, first["loc"])) or "the answer"
                raise ValueError(f"{where}: {first['msg']}") from None
        value = json.loads(text)
        problem = next(iter(self._validator.iter_errors(value)), None)
        if problem is not None:
            raise ValueError(f"{problem.json_path}: {problem.message}")
        return value
