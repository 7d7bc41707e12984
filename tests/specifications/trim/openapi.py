"""What a published OpenAPI description says of the operations in use, without its prose."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

_KEPT = {
    *("type", "properties", "required", "items", "enum", "const", "oneOf", "anyOf", "allOf", "additionalProperties"),
    *("pattern", "minLength", "maxLength", "minItems", "minimum", "format", "$ref"),
}
_LONG_LIST = 20


def _facts(node: Any, *, closed: bool) -> Any:
    """The schema without its prose. `closed`: an object has no other fields than the documented ones."""
    if isinstance(node, list):
        return [_facts(part, closed=closed) for part in node]
    if not isinstance(node, dict):
        return node
    kept = {key: value for key, value in node.items() if key in _KEPT}
    if words := _enumerated(node):
        kept["enum"] = words
    if "$ref" in kept:
        return {"$ref": "#/schemas/" + kept["$ref"].rpartition("/")[2]}
    for key in kept.keys() & {"items", "oneOf", "anyOf", "additionalProperties"}:
        kept[key] = _facts(kept[key], closed=closed)
    if "allOf" in kept:  # each is a part of the object only
        kept["allOf"] = _facts(kept["allOf"], closed=False)
    if "properties" in kept:
        kept["properties"] = {name: _facts(part, closed=closed) for name, part in kept["properties"].items()}
        if closed:
            kept.setdefault("additionalProperties", False)
    return kept


def _enumerated(node: Json) -> list[str]:
    """Mirakl lists a field's words in its description. Long lists are countries, currencies and the like."""
    description = node.get("description", "")
    if node.get("type") != "string" or not isinstance(description, str) or "Enum:" not in description:
        return []
    words = re.findall(r'`"(\w+)"`', description)
    return words if len(words) <= _LONG_LIST else []


def _names(node: Any) -> Iterable[str]:
    if isinstance(node, list):
        for part in node:
            yield from _names(part)
    elif isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].rpartition("/")[2]
        for part in node.values():
            yield from _names(part)


def referred_to(schemas: Json, roots: Any) -> Json:
    found: Json = {}
    waiting = list(_names(roots))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = schemas[name]
            waiting += _names(schemas[name])
    return dict(sorted(found.items()))


def _body(given: Json) -> Any:
    content = given.get("content", {})
    media = content.get("application/json") or content.get("application/x-www-form-urlencoded")
    return _facts(media["schema"], closed=True) if media else None


def _operations(document: Json, used: Sequence[tuple[str, str]]) -> list[Json]:
    shared = document.get("components", {}).get("parameters", {})
    found = []
    for method, path in used:
        operation = document["paths"].get(path, {}).get(method)
        if operation is None:
            continue
        parameters = [shared[p["$ref"].rpartition("/")[2]] if "$ref" in p else p for p in operation["parameters"]]
        found.append(
            {
                "method": method.upper(),
                "path": path,
                "parameters": [
                    {
                        "in": parameter["in"],
                        "name": parameter["name"],
                        "required": parameter.get("required", False),
                        "schema": _facts(parameter["schema"], closed=True),
                    }
                    for parameter in parameters
                ],
                "body": _body(operation.get("requestBody", {})),
                "answers": {status: _body(answer) for status, answer in operation["responses"].items()},
            }
        )
    return sorted(found, key=lambda operation: (operation["path"], operation["method"]))


def read(file: Path) -> Json:
    text = file.read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document: Json = json.loads(text) if file.suffix == ".json" else yaml.load(text, loader)
    return document


def trim(documents: Sequence[Json], used: Sequence[tuple[str, str]]) -> Json:
    """Of `documents` the operations in use, each a method and a path, and the schemas that they refer to."""
    operations: list[Json] = []
    schemas: Json = {}
    for document in documents:
        operations += _operations(document, used)
        schemas |= {name: _facts(schema, closed=True) for name, schema in document["components"]["schemas"].items()}
    return {"operations": operations, "schemas": referred_to(schemas, operations)}
