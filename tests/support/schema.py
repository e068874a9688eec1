"""Check a JSON value against as much of JSON Schema as the project's schemas use; anything else in a schema is an error, so that nothing passes unread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KNOWN = {"$schema", "$defs", "$ref", "title", "description", "type", "properties", "required", "additionalProperties", "items", "enum", "const"}
TYPES: dict[str, tuple[type, ...]] = {"object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float), "null": (type(None),)}


def problems(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any] | None = None, path: str = "") -> list[str]:
    """Return what is wrong with a value, with where."""
    root = root or schema
    unknown = schema.keys() - KNOWN
    if unknown:
        raise ValueError(f"{path}: this check does not know {sorted(unknown)}")
    if "$ref" in schema:
        return problems(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, path)
    found = []
    if "const" in schema and value != schema["const"]:
        found.append(f"{path}: is {value!r}")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{path}: is {value!r}")
    if "type" in schema:
        wanted = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        if isinstance(value, bool) or not any(isinstance(value, TYPES[name]) for name in wanted):
            return [*found, f"{path}: is {value!r}, not {wanted}"]
    if isinstance(value, dict):
        found += [f"{path}.{name}: is missing" for name in schema.get("required", ()) if name not in value]
        known = schema.get("properties", {})
        if schema.get("additionalProperties") is False:
            found += [f"{path}.{name}: is not known" for name in value.keys() - known.keys()]
        for name in value.keys() & known.keys():
            found += problems(value[name], known[name], root, f"{path}.{name}")
    if isinstance(value, list) and "items" in schema:
        for place, item in enumerate(value):
            found += problems(item, schema["items"], root, f"{path}[{place}]")
    return found
