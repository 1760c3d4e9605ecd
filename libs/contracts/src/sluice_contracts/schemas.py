"""The JSON Schema of every message's data, and of a definition."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

from sluice_contracts.base import Command, Message
from sluice_contracts.definition import Definition
from sluice_contracts.registry import ALL

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DEFINITION: Final = "Definition"
INPUTS: Final = frozenset({DEFINITION, *(message.TYPE for message in ALL if issubclass(message, Command))})
"""The schemas of what others write: these may be widened."""


class PlainJsonSchema(GenerateJsonSchema):
    """pydantic's schemas without what says nothing: titles made of field names, and nulls as defaults."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """No title is made up."""
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """A default of null is what being optional means."""
        written = super().default_schema(schema)
        return {key: value for key, value in written.items() if key != "default" or value is not None}

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        """Without OpenAPI's `discriminator`: each member has its tag as a constant already."""
        return {key: value for key, value in super().tagged_union_schema(schema).items() if key != "discriminator"}

    def generate(self, schema: core_schema.CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        """The schema, with its dialect named."""
        return {"$schema": DIALECT, **super().generate(schema, mode)}


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of one model; a message's title is its type."""
    schema = model.model_json_schema(schema_generator=PlainJsonSchema)
    if issubclass(model, Message):
        schema["title"] = model.TYPE
    return schema


def schemas() -> Mapping[str, dict[str, Any]]:
    """Every message's schema by type, and the definition's."""
    return {**{message.TYPE: schema_of(message) for message in ALL}, DEFINITION: schema_of(Definition)}
