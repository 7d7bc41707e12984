"""Cuts Stripe's published OpenAPI document down to what the gateway adapter and its stand-in use, as JSON Schema.

`git -C OPENAPI show 63a674638635:openapi/spec3.yaml | python -m tests.specifications.stripe.trim > …/spec.json`, where
OPENAPI is a clone of github.com/stripe/openapi. Descriptions are left out. A resource that is not in use is any object. An
object in an answer has no properties but those that Stripe names.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import yaml

Schema = dict[str, Any]

USED = {
    "/v1/charges/{charge}": ["get"],
    "/v1/customers": ["post"],
    "/v1/disputes": ["get"],
    "/v1/events": ["get"],
    "/v1/payment_intents": ["get", "post"],
    "/v1/payment_intents/{intent}": ["get"],
    "/v1/payment_intents/{intent}/cancel": ["post"],
    "/v1/payment_intents/{intent}/capture": ["post"],
    "/v1/refunds": ["get", "post"],
    "/v1/refunds/{refund}": ["get"],
    "/v1/refunds/{refund}/cancel": ["post"],
}

KEPT = {
    "address",
    "api_errors",
    "billing_details",
    "charge",
    "charge_fraud_details",
    "customer",
    "dispute",
    "dispute_evidence",
    "dispute_evidence_details",
    "error",
    "event",
    "notification_event_data",
    "notification_event_request",
    "payment_flows_automatic_payment_methods_payment_intent",
    "payment_intent",
    "refund",
}

PARAMETERS = {
    "amount",
    "amount_to_capture",
    "automatic_payment_methods",
    "cancellation_reason",
    "capture_method",
    "confirm",
    "currency",
    "customer",
    "description",
    "expand",
    "metadata",
    "off_session",
    "payment_intent",
    "payment_method",
    "payment_method_options",
    "reason",
    "return_url",
    "setup_future_usage",
}
"""What may be sent in the body of a call, of all that Stripe takes."""

_DROPPED = {"description", "title", "nullable"}


def convert(schema: Any, *, closed: bool) -> Any:
    """An OpenAPI 3.0 schema as JSON Schema. `closed`: objects have no properties that are not named."""
    if isinstance(schema, list):
        return [convert(item, closed=closed) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return {"$ref": f"#/schemas/{name}"} if name in KEPT else {"type": "object"}
    made: Schema = {}
    for name, value in schema.items():
        if name == "properties":
            made[name] = {key: convert(item, closed=closed) for key, item in value.items()}
        elif name not in _DROPPED and not name.startswith("x-"):
            made[name] = convert(value, closed=closed)
    if closed and made.get("properties"):
        made.setdefault("additionalProperties", False)
    return {"anyOf": [made, {"type": "null"}]} if schema.get("nullable") else made


def operation(given: Schema) -> Schema:
    """The parameters of a call and its answers."""
    body = (
        given.get("requestBody", {}).get("content", {}).get("application/x-www-form-urlencoded", {}).get("schema", {})
    )
    sent = convert({**body, "properties": _sent(body)}, closed=True) if body.get("properties") else None
    query = {item["name"]: convert(item["schema"], closed=True) for item in _query(given)}
    answers = given["responses"]
    return {
        "body": sent,
        "query": {"type": "object", "properties": query, "additionalProperties": False},
        "answer": convert(answers["200"]["content"]["application/json"]["schema"], closed=True),
        "error": convert(answers["default"]["content"]["application/json"]["schema"], closed=True),
    }


def _query(given: Schema) -> list[Schema]:
    return [item for item in given.get("parameters", []) if item["in"] == "query"]


def _sent(body: Schema) -> Schema:
    properties = {name: schema for name, schema in body["properties"].items() if name in PARAMETERS}
    options = properties.get("payment_method_options")
    if options is not None:
        card = next(_objects(options["properties"]["card"]))
        only = {"request_multicapture": card["properties"].get("request_multicapture", {})}
        properties["payment_method_options"] = {
            "type": "object",
            "properties": {"card": {"type": "object", "properties": only}},
        }
    return properties


def _objects(schema: Schema) -> Iterator[Schema]:
    for one in schema.get("anyOf", [schema]):
        if "properties" in one:
            yield one


def add_later(spec: Schema) -> None:
    """What came after API version 2023-08-16, as far as it is in use here. Later versions of the document are too large for
    the mirrors that it was taken from; these facts are of docs.stripe.com, and the SDK's own types of version 2026-10-28 say
    the same."""
    schemas, paths = spec["schemas"], spec["paths"]
    # docs.stripe.com/api/disputes/object; `prevented`: docs.stripe.com/changelog/basil/2025-08-27/add-preventions-to-dispute
    later = ["appeal_needs_response", "appeal_under_review", "prevented"]
    schemas["dispute"]["properties"]["status"]["enum"] += later
    # docs.stripe.com/changelog/basil/2025-04-30/refund-pending-reason; no reason where the refund is not pending
    reasons = {"type": "string", "enum": ["charge_pending", "insufficient_funds", "processing"]}
    schemas["refund"]["properties"]["pending_reason"] = {"anyOf": [reasons, {"type": "null"}]}
    # docs.stripe.com/payments/multicapture
    paths["/v1/payment_intents/{intent}/capture"]["post"]["body"]["properties"]["final_capture"] = {"type": "boolean"}
    card = paths["/v1/payment_intents"]["post"]["body"]["properties"]["payment_method_options"]["properties"]["card"]
    card["properties"]["request_multicapture"] = {"type": "string", "enum": ["if_available", "never"]}


def main() -> None:
    document = yaml.load(sys.stdin, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    spec: Schema = {
        "version": document["info"]["version"],
        "schemas": {name: convert(document["components"]["schemas"][name], closed=True) for name in sorted(KEPT)},
        "paths": {
            path: {method: operation(document["paths"][path][method]) for method in methods}
            for path, methods in USED.items()
        },
    }
    add_later(spec)
    json.dump(spec, sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
