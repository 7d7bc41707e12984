"""What EasyPost has answered: it publishes no description of its API, but its libraries record their tests."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.specifications.trim.openapi import Json, referred_to

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
        kinds = {seen.get("object") for seen in objects}
        if len(kinds) == 1 and isinstance(kind := kinds.pop(), str):
            known = {"$ref": f"#/schemas/{kind}"}
            return known if types == ["object"] else {"anyOf": [{"type": "null"}, known]}
        return schema | self._fields(objects) if objects and name not in _MAPS else schema

    def _fields(self, objects: Sequence[Json]) -> Json:
        fields = sorted({field for seen in objects for field in seen})
        return {
            "properties": {
                field: self.seen([seen[field] for seen in objects if field in seen], field) for field in fields
            },
            "required": [field for field in fields if all(field in seen for seen in objects)],
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


def trim_recordings(folders: Sequence[Path]) -> Json:
    answers: dict[tuple[str, str], dict[str, list[Any]]] = {}
    recorded: list[Any] = []
    for file in sorted(file for folder in folders for file in folder.glob("*.yaml")):
        for interaction in yaml.safe_load(file.read_text(encoding="utf-8"))["interactions"]:
            request, status = interaction["request"], interaction["response"]["status"]["code"]
            path = request["uri"].removeprefix("https://api.easypost.com").partition("?")[0]
            try:
                body = json.loads(interaction["response"]["body"]["string"])
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
    return {
        "operations": operations,
        "schemas": referred_to(schemas.schemas() | {"Error": _EASYPOST_ERROR}, operations),
    }
