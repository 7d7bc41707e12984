"""Whether a call and its answer are what the provider describes (specification.json, made by trim.py)."""

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jsonschema_rs

HERE = Path(__file__).parent
Json = dict[str, Any]


@dataclass(frozen=True)
class Exchange:
    """A call and its answer. `path` is without the base URL; `answer` None: none came."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    status: int
    answer: bytes

    @property
    def name(self) -> str:
        return f"{self.method} {self.path} ({self.status})"


@dataclass
class Specification:
    provider: str
    operations: list[Json] = field(init=False)
    schemas: Json = field(init=False)

    def __post_init__(self) -> None:
        document = json.loads((HERE / self.provider / "specification.json").read_text(encoding="utf-8"))
        self.operations, self.schemas = document["operations"], document["schemas"]

    def problems(self, exchange: Exchange) -> list[str]:
        """What is wrong with it. A call that is not as described is right to be refused, and only then."""
        operation = self.operation(exchange)
        if operation is None:
            return [f"{exchange.name}: {self.provider} describes no such call"]
        found = [] if exchange.status >= 400 else self._call_problems(operation, exchange)
        return [f"{exchange.name}: {one}" for one in (*found, *self._answer_problems(operation, exchange))]

    def operation(self, exchange: Exchange) -> Json | None:
        for operation in self.operations:
            template = re.sub(r"\{\w+\}", "[^/]+", operation["path"])
            if operation["method"] == exchange.method and re.fullmatch(template, exchange.path):
                return operation
        return None

    def _call_problems(self, operation: Json, exchange: Exchange) -> list[str]:
        given = {
            "header": {name.lower(): value for name, value in exchange.headers.items()},
            "query": dict(parse_qsl(exchange.query)),
        }
        named = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation["path"])
        matched = re.fullmatch(named, exchange.path)
        given["path"] = matched.groupdict() if matched else {}
        found = []
        described: dict[str, set[str]] = {"header": set(), "query": set(), "path": set()}
        for parameter in operation["parameters"]:
            place, name = parameter["in"], parameter["name"]
            described[place].add(name)
            value = given[place].get(name.lower() if place == "header" else name)
            if value is None:
                found += [f"{place} {name} is missing"] if parameter["required"] else []
            elif problem := self._first(parameter["schema"], _typed(value, parameter["schema"])):
                found.append(f"{place} {name}: {problem}")
        if operation["parameters"]:  # EasyPost's are not described
            found += [f"query {name} is not described" for name in given["query"].keys() - described["query"]]
        if operation["body"] is not None:
            kind = {name.lower(): value for name, value in exchange.headers.items()}.get("content-type", "")
            body = dict(parse_qsl(exchange.body.decode())) if "form" in kind else json.loads(exchange.body)
            found += [f"body: {problem}" for problem in self._all(operation["body"], body)]
        return found

    def _answer_problems(self, operation: Json, exchange: Exchange) -> list[str]:
        schema = operation["answers"].get(str(exchange.status))
        if schema is None:
            # What goes wrong at the provider, and what is refused, is not described everywhere.
            return [] if exchange.status >= 400 else ["no such answer is described"]
        try:
            answer = json.loads(exchange.answer)
        except ValueError:
            return ["the answer is no JSON"]
        return self._all(schema, answer)

    def _all(self, schema: Any, value: Any) -> list[str]:
        return [
            f"{'/'.join(str(part) for part in error.instance_path)}: {error.message[:300]}"
            for error in self._validator(json.dumps(schema)).iter_errors(value)
        ]

    def _first(self, schema: Any, value: Any) -> str:
        return next(iter(self._all(schema, value)), "")

    @cache  # noqa: B019 - one for each provider, as long as the tests run
    def _validator(self, schema: str) -> jsonschema_rs.Draft202012Validator:
        return jsonschema_rs.Draft202012Validator(
            {**json.loads(schema), "schemas": self.schemas}, validate_formats=True
        )

    def __hash__(self) -> int:
        return hash(self.provider)


def _typed(value: str, schema: Json) -> Any:
    """A parameter travels as text."""
    match schema.get("type"):
        case "integer" if value.isdecimal():
            return int(value)
        case "boolean" if value in {"true", "false"}:
            return value == "true"
        case "array":
            return value.split(",")
        case _:
            return value
