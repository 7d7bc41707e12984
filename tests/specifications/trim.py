"""Keep of a provider's published description what the tests need, in one form: the operations in use, and the schemas that
they refer to.

    python -m tests.specifications.trim ups DeliveryIntercept.yaml OAuthClientCredentials.yaml
    python -m tests.specifications.trim mirakl mirakl-mmp-seller-openapi.json
    python -m tests.specifications.trim easypost tests/cassettes

Where each of them comes from, and under which licence, is in README.md beside this file. Of every source only names, types,
bounds and what is required stay: descriptions and examples do not.
"""

import argparse
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
Json = dict[str, Any]

_KEPT = {
    *("type", "properties", "required", "items", "enum", "const", "oneOf", "anyOf", "allOf", "additionalProperties"),
    *("pattern", "minLength", "maxLength", "minItems", "minimum", "format", "$ref"),
}
_MIRAKL = {"/api/orders": "get", "/api/orders/cancel": "put", "/api/orders/refund": "put"}
_UPS = {
    "/return/{tracking_number}": "post",
    "/cancel/{tracking_number}": "post",
    "/eligibility/intercept/{tracking_number}": "get",
    "/security/v1/oauth/token": "post",
}
_PAGES = [
    {"in": "query", "name": "max", "required": False, "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
    {"in": "query", "name": "offset", "required": False, "schema": {"type": "integer", "minimum": 0}},
]
"""Mirakl describes paging once for all lists, in a chapter outside of their parameters."""


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


def _used(schemas: Json, roots: Any) -> Json:
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


def _operations(document: Json, used: dict[str, str]) -> list[Json]:
    shared = document.get("components", {}).get("parameters", {})
    found = []
    for path in document["paths"].keys() & used.keys():
        operation = document["paths"][path][used[path]]
        parameters = [shared[p["$ref"].rpartition("/")[2]] if "$ref" in p else p for p in operation["parameters"]]
        found.append(
            {
                "method": used[path].upper(),
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
                "answers": {status: _body(one) for status, one in operation["responses"].items()},
            }
        )
    return sorted(found, key=lambda one: one["path"])


def _trim(files: Sequence[Path], used: dict[str, str]) -> Json:
    operations: list[Json] = []
    schemas: Json = {}
    for file in files:
        text = file.read_text(encoding="utf-8")
        document = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
        operations += _operations(document, used)
        schemas |= {name: _facts(one, closed=True) for name, one in document["components"]["schemas"].items()}
    return {"operations": operations, "schemas": _used(schemas, operations)}


def trim_ups(files: Sequence[Path]) -> Json:
    return _trim(files, _UPS)


def trim_mirakl(files: Sequence[Path]) -> Json:
    trimmed = _trim(files, _MIRAKL)
    for operation in trimmed["operations"]:
        if operation["path"] == "/api/orders":
            operation["parameters"] += _PAGES
            for parameter in operation["parameters"]:
                # The document gives these texts a greatest number, which no text has: it is that of their parts.
                parameter["schema"].pop("maximum", None)
    return trimmed


_TIMES = (
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$",
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$",
)
"""The forms in which EasyPost writes a time: each field always in the same."""
_FORMS = {
    "POST /v2/shipments": r"/v2/shipments",
    "GET /v2/shipments/{name}": r"/v2/shipments/shp_\w+",
    "POST /v2/shipments/{name}/buy": r"/v2/shipments/shp_\w+/buy",
    "POST /v2/shipments/{name}/refund": r"/v2/shipments/shp_\w+/refund",
    "POST /v2/trackers": r"/v2/trackers",
    "GET /v2/trackers/{name}": r"/v2/trackers/trk_\w+",
    "GET /v2/events": r"/v2/events",
    "GET /v2/events/{event_id}/payloads": r"/v2/events/evt_\w+/payloads",
}
_MAPS = {"options", "payment", "request_headers", "response_headers", "carrier_detail", "verifications"}
"""Objects whose fields are the caller's own, or a carrier's."""


class _Recorded:
    """The schemas of what was recorded; objects of one kind, which name it in `object`, have one schema. All recordings show
    what a field may be; `used`, the answers of the operations in use, show what is always there."""

    def __init__(self, answers: Sequence[Any], used: Sequence[Any]) -> None:
        self._by_kind: dict[str, list[Json]] = {}
        self._used_by_kind: dict[str, list[Json]] = {}
        for answer in answers:
            self._collect(answer, self._by_kind)
        for answer in used:
            self._collect(answer, self._used_by_kind)

    def _collect(self, value: Any, found: dict[str, list[Json]]) -> None:
        for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            self._collect(part, found)
        if isinstance(value, dict) and isinstance(value.get("object"), str):
            found.setdefault(value["object"], []).append(value)

    def schemas(self) -> Json:
        found = {kind: self._fields(objects) for kind, objects in self._by_kind.items()}
        for kind, objects in self._used_by_kind.items():
            found[kind]["required"] = self._fields(objects)["required"]
        return found

    def seen(self, values: Sequence[Any], name: str = "") -> Json:
        """The schema of everything that was recorded in one place. What was never anything but null may be anything."""
        types = sorted({_type_of(value) for value in values})
        if types == ["null"]:
            return {}
        schema: Json = {"type": types[0] if len(types) == 1 else types}
        texts = [value for value in values if isinstance(value, str)]
        if pattern := next((form for form in _TIMES if texts and all(re.match(form, text) for text in texts)), None):
            schema["pattern"] = pattern
        if parts := [part for value in values if isinstance(value, list) for part in value]:
            schema["items"] = self.seen(parts)
        objects = [value for value in values if isinstance(value, dict)]
        kinds = {one.get("object") for one in objects}
        if len(kinds) == 1 and isinstance(kind := kinds.pop(), str):
            known = {"$ref": f"#/schemas/{kind}"}
            return known if types == ["object"] else {"anyOf": [{"type": "null"}, known]}
        return schema | self._fields(objects) if objects and name not in _MAPS else schema

    def _fields(self, objects: Sequence[Json]) -> Json:
        fields = sorted({field for one in objects for field in one})
        return {
            "properties": {
                field: self.seen([one[field] for one in objects if field in one], field) for field in fields
            },
            "required": [field for field in fields if all(field in one for one in objects)],
            "additionalProperties": False,
        }


def _type_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


_EASYPOST_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}, "errors": {"type": "array"}},
            "required": ["code", "message", "errors"],
            "additionalProperties": False,
        }
    },
    "required": ["error"],
    "additionalProperties": False,
}
"""Of every recording that was refused."""


def trim_easypost(folders: Sequence[Path]) -> Json:
    """What EasyPost has answered: there is no description of its API, but its libraries record their tests."""
    answers: dict[tuple[str, str], dict[str, list[Any]]] = {}
    recorded: list[Any] = []
    for file in sorted(file for folder in folders for file in folder.glob("*.yaml")):
        for one in yaml.safe_load(file.read_text(encoding="utf-8"))["interactions"]:
            request, status = one["request"], one["response"]["status"]["code"]
            path = request["uri"].removeprefix("https://api.easypost.com").partition("?")[0]
            try:
                body = json.loads(one["response"]["body"]["string"])
            except ValueError:
                continue
            if status >= 400:
                continue
            recorded.append(body)
            for form, pattern in _FORMS.items():
                method, _, template = form.partition(" ")
                if request["method"] == method and re.fullmatch(pattern, path):
                    answers.setdefault((method, template), {}).setdefault(str(status), []).append(body)
    used = [body for by_status in answers.values() for bodies in by_status.values() for body in bodies]
    schemas = _Recorded(recorded, used)
    operations: list[Json] = [
        {
            "method": method,
            "path": template,
            "parameters": [],
            "body": None,
            "answers": {status: schemas.seen(bodies) for status, bodies in by_status.items()}
            | {status: {"$ref": "#/schemas/Error"} for status in ("401", "404", "422", "429", "500")},
        }
        for (method, template), by_status in sorted(answers.items())
    ]
    return {"operations": operations, "schemas": _used(schemas.schemas() | {"Error": _EASYPOST_ERROR}, operations)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("provider", choices=["ups", "mirakl", "easypost"])
    parser.add_argument("sources", type=Path, nargs="+")
    given = parser.parse_args()
    trim = {"ups": trim_ups, "mirakl": trim_mirakl, "easypost": trim_easypost}[given.provider]
    found = trim(given.sources)
    operations = ",\n".join(json.dumps(one, ensure_ascii=False) for one in found["operations"])
    schemas = ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in found["schemas"].items())
    text = f'{{"operations": [\n{operations}\n],\n"schemas": {{\n{schemas}\n}}}}\n'
    (HERE / given.provider / "specification.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
