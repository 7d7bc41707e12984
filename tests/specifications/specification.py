"""Whether a call and its answer are what the provider describes (specification.json, made by trim/)."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs

from sandbox.gateway.app import parse

HERE = Path(__file__).parent
Json = dict[str, Any]

_OF_SDK = "Stripe/v1 PythonBindings"
"""What the gateway adapter sends has to be valid, also where it is refused. Other calls have to be valid where they are
accepted."""


@dataclass(frozen=True)
class Exchange:
    """A call and its answer. `path` is without the base URL; the names of the headers are in small letters."""

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

    @property
    def must_be_valid(self) -> bool:
        return self.status < 400 or self.headers.get("user-agent", "").startswith(_OF_SDK)


# Rule: What the stand-ins answer and the adapters send is what the providers publish
class Specification:
    def __init__(self, provider: str) -> None:
        self.provider = provider
        document = json.loads((HERE / provider / "specification.json").read_text(encoding="utf-8"))
        self.operations: list[Json] = document["operations"]
        self._schemas: Json = document["schemas"]
        self._validators: dict[str, jsonschema_rs.Draft202012Validator] = {}

    def problems(self, exchange: Exchange) -> list[str]:
        """What is wrong with it."""
        operation = self.operation(exchange.method, exchange.path)
        if operation is None:
            return [f"{exchange.name}: {self.provider} describes no such call"]
        found = self._call_problems(operation, exchange) if exchange.must_be_valid else []
        return [f"{exchange.name}: {problem}" for problem in (*found, *self._answer_problems(operation, exchange))]

    def operation(self, method: str, path: str) -> Json | None:
        for operation in self.operations:
            if operation["method"] == method and _match(operation, path):
                return operation
        return None

    def _call_problems(self, operation: Json, exchange: Exchange) -> list[str]:
        matched = _match(operation, exchange.path)
        given: dict[str, Json] = {
            "header": exchange.headers,
            "query": parse(exchange.query),
            "path": matched.groupdict() if matched else {},
        }
        found = []
        for parameter in operation["parameters"]:
            place, name = parameter["in"], parameter["name"]
            value = given[place].get(name.lower() if place == "header" else name)
            if value is None:
                found += [f"{place} {name} is missing"] if parameter["required"] else []
            else:
                problems = self._compare(parameter["schema"], typed(value, parameter["schema"]))
                found += [f"{place} {name}: {problem}" for problem in problems[:1]]
        if operation["parameters"]:  # EasyPost's are not described
            described = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"}
            found += [f"query {name} is not described" for name in given["query"].keys() - described]
        if (schema := operation["body"]) is not None:
            in_json = "json" in exchange.headers.get("content-type", "")
            body = json.loads(exchange.body) if in_json else typed(parse(exchange.body.decode()), schema)
            found += [f"body: {problem}" for problem in self._compare(schema, body)]
        return found

    def _answer_problems(self, operation: Json, exchange: Exchange) -> list[str]:
        answers = operation["answers"]
        schema = answers.get(str(exchange.status), answers.get("default"))
        if schema is None:
            # What goes wrong at the provider, and what is refused, is not described everywhere.
            return [] if exchange.status >= 400 else ["no such answer is described"]
        try:
            answer = json.loads(exchange.answer)
        except ValueError:
            return ["the answer is no JSON"]
        return [f"answer: {problem}" for problem in self._compare(schema, answer)]

    def _compare(self, schema: Json, value: Any) -> list[str]:
        return [
            f"{'/'.join(str(part) for part in error.instance_path)}: {error.message[:300]}"
            for error in self._validator(schema).iter_errors(value)
        ]

    def _validator(self, schema: Json) -> jsonschema_rs.Draft202012Validator:
        name = json.dumps(schema)
        if name not in self._validators:
            self._validators[name] = jsonschema_rs.Draft202012Validator(
                {**schema, "schemas": self._schemas}, validate_formats=True
            )
        return self._validators[name]


def _match(operation: Json, path: str) -> re.Match[str] | None:
    return re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation["path"]), path)


def typed(value: Any, schema: Json) -> Any:
    """A text, or the texts of a form, as what the schema wants: they know no numbers, no truth and no lists. What does not
    fit stays a text, and is found to be wrong."""
    for kind in schema.get("anyOf", [schema]):
        match kind.get("type"):
            case "integer" if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
                return int(value)
            case "boolean" if value in ("true", "false"):
                return value == "true"
            case "array" if isinstance(value, str):
                return value.split(",")
            case "array" if isinstance(value, dict):
                return [typed(item, kind.get("items", {})) for item in value.values()]
            case "object" if isinstance(value, dict):
                properties = kind.get("properties", {})
                return {name: typed(item, properties.get(name, {})) for name, item in value.items()}
            case _:
                pass
    return value
