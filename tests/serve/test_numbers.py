"""A number in a request is a number in its JSON, and not true or text; and true is not 1."""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from serve.server_process import ServerProcess

import pyslm.serve
from pyslm.serve.protocol.number import Integer, Number, NumberSchema, TokenIds

TURNS = [{"role": "user", "content": "Hi"}]
EXAMPLES = {"boolean": "true", "string": '"1"', "number": "1", "zero": "0", "null": "null"}


def request_models(of: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    """Those of all dialects, and their parts."""
    for model in of.__subclasses__():
        if model.__module__.startswith("pyslm.serve."):
            yield model
        yield from request_models(model)


def fields() -> Iterator[Any]:
    for module in pkgutil.walk_packages(pyslm.serve.__path__, "pyslm.serve."):
        if "__main__" not in module.name:
            importlib.import_module(module.name)
    for model in sorted(set(request_models()), key=lambda model: model.__qualname__):
        for name, field in model.model_fields.items():
            adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
            kinds = kinds_of(adapter.json_schema(schema_generator=NumberSchema))
            if kinds & {"boolean", "number"}:
                yield pytest.param(adapter, kinds, id=f"{model.__name__}.{name}")


def kinds_of(schema: dict[str, Any]) -> set[str]:
    """The JSON types that it allows."""
    kinds = {part["type"] for part in schema.get("anyOf", [schema]) if "type" in part}
    return {"number" if kind == "integer" else kind for kind in kinds}


@pytest.mark.parametrize(("adapter", "kinds"), list(fields()))
def test_every_number_and_boolean_of_every_request_is_one(
    adapter: TypeAdapter[Any], kinds: set[str]
) -> None:
    for kind, example in EXAMPLES.items():
        if ("number" if kind == "zero" else kind) not in kinds:
            with pytest.raises(ValidationError):
                adapter.validate_json(example)
        elif kind == "number":
            assert adapter.validate_json(example) == 1


@pytest.mark.parametrize("given", ["5", "5.0", "5e0", "-3", "18446744073709549568"])
def test_whole_floats_are_whole_numbers(given: str) -> None:
    assert TypeAdapter(Integer).validate_json(given) == int(float(given))
    assert type(TypeAdapter(Integer).validate_json(given)) is int


@pytest.mark.parametrize("given", ["true", "false", '"5"', "5.5", "null", "[5]", "{}"])
def test_nothing_else_is_a_whole_number(given: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Integer).validate_json(given)


@pytest.mark.parametrize("given", ["true", '"0.5"', '"NaN"', "null"])
def test_nothing_else_is_a_number(given: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Number).validate_json(given)


def test_bounds_are_those_of_json_schema() -> None:
    class Body(BaseModel):
        checked: Integer | None = Field(None, ge=1, lt=9)
        plain: int | None = Field(None, ge=1, lt=9)

    checked, plain = Body.model_json_schema(schema_generator=NumberSchema)["properties"].values()
    assert {**checked, "title": ""} == {**plain, "title": ""}
    with pytest.raises(ValidationError, match="less than 9"):
        Body.model_validate_json('{"checked": 9}')


def test_a_long_list_of_ids_is_checked_fast() -> None:
    adapter = TypeAdapter(Annotated[TokenIds, Field(min_length=1)])
    text = "[" + ",".join(map(str, range(100_000))) + "]"
    began = time.perf_counter()
    assert len(adapter.validate_json(text)) == 100_000
    assert time.perf_counter() - began < 1.0  # 8 ms here
    with pytest.raises(ValidationError, match="list of whole numbers"):
        adapter.validate_json(text.replace("99999", "true"))


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/chat/completions", {"messages": TURNS, "temperature": True}, "temperature"),
        ("/v1/chat/completions", {"messages": TURNS, "n": "1"}, "n"),
        ("/v1/completions", {"prompt": [True]}, "prompt"),
        ("/v1/embeddings", {"input": [[1, "2"]]}, "input"),
        ("/v1/responses", {"input": "Hi", "max_output_tokens": "5"}, "max_output_tokens"),
        ("/v1/messages", {"messages": TURNS, "max_tokens": True}, "max_tokens"),
        ("/detokenize", {"tokens": [True]}, "tokens"),
        ("/api/chat", {"messages": TURNS, "options": {"mirostat_eta": True}}, "mirostat_eta"),
        ("/api/generate", {"prompt": "Hi", "options": {"num_predict": "5"}}, "num_predict"),
    ],
)
def test_the_error_names_the_field(
    server: ServerProcess, path: str, body: dict[str, Any], field: str
) -> None:
    with server.http() as http:
        answer = http.post(path, json={"model": "stories", **body})
    assert answer.status_code == 400
    assert field in answer.text
