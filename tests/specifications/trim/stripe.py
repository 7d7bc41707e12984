"""Stripe's published description, as far as the gateway adapter and its stand-in use it. A resource that is not in use is
any object; of what may be sent, only the parameters in use stay."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.specifications.trim.openapi import Json, read, trim

_USED = [
    ("get", "/v1/charges/{charge}"),
    ("post", "/v1/customers"),
    ("get", "/v1/disputes"),
    ("get", "/v1/events"),
    ("get", "/v1/payment_intents"),
    ("post", "/v1/payment_intents"),
    ("get", "/v1/payment_intents/{intent}"),
    ("post", "/v1/payment_intents/{intent}/cancel"),
    ("post", "/v1/payment_intents/{intent}/capture"),
    ("get", "/v1/refunds"),
    ("post", "/v1/refunds"),
    ("get", "/v1/refunds/{refund}"),
    ("post", "/v1/refunds/{refund}/cancel"),
]
_KEPT = {
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

_PARAMETERS = {
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

_SUBJECTS = ("charge", "customer", "dispute", "payment_intent", "refund")
"""What an event is about."""


def trim_stripe(files: Sequence[Path]) -> Json:
    trimmed = trim([_prepared(read(file)) for file in files], _USED)
    _name_subjects(trimmed["schemas"])
    _add_later(trimmed)
    return trimmed


def _prepared(document: Json) -> Json:
    paths: Json = {}
    for method, path in _USED:
        operation = _converted(document["paths"][path][method])
        operation["parameters"] = [
            parameter for parameter in operation.get("parameters", []) if parameter["in"] == "query"
        ]
        form = operation["requestBody"]["content"].get("application/x-www-form-urlencoded", {}).get("schema", {})
        if form.get("properties"):
            form["properties"] = _sent(form["properties"])
        else:
            operation["requestBody"] = {}
        paths.setdefault(path, {})[method] = operation
    schemas = {name: _converted(document["components"]["schemas"][name]) for name in _KEPT}
    return {"paths": paths, "components": {"schemas": schemas}}


def _converted(node: Any) -> Any:
    """What OpenAPI 3.0 says otherwise than JSON Schema, as JSON Schema."""
    if isinstance(node, list):
        return [_converted(part) for part in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return node if node["$ref"].rpartition("/")[2] in _KEPT else {"type": "object"}
    made = {key: _converted(part) for key, part in node.items()}
    return {"anyOf": [made, {"type": "null"}]} if node.get("nullable") is True else made


def _sent(properties: Json) -> Json:
    kept = {name: schema for name, schema in properties.items() if name in _PARAMETERS}
    if options := kept.get("payment_method_options"):
        card = next(option for option in options["properties"]["card"]["anyOf"] if "properties" in option)
        only = {"request_multicapture": card["properties"].get("request_multicapture", {})}
        card = {"type": "object", "properties": only}
        kept["payment_method_options"] = {"type": "object", "properties": {"card": card}}
    return kept


def _name_subjects(schemas: Json) -> None:
    """Stripe's description says that an event is about an object; its text says which."""
    schemas["notification_event_data"]["properties"]["object"] = {
        "type": "object",
        "properties": {"object": {"enum": list(_SUBJECTS)}},
        "required": ["object"],
        "allOf": [
            {"if": {"properties": {"object": {"const": name}}}, "then": {"$ref": f"#/schemas/{name}"}}
            for name in _SUBJECTS
        ],
    }


def _add_later(trimmed: Json) -> None:
    """What came after API version 2023-08-16, as far as it is in use here. Later versions of the document are too large for
    the mirrors that it was taken from; these facts are of docs.stripe.com, and the SDK's own types of version 2026-10-28 say
    the same."""
    schemas = trimmed["schemas"]
    bodies = {
        operation["path"]: operation["body"] for operation in trimmed["operations"] if operation["method"] == "POST"
    }
    # docs.stripe.com/api/disputes/object; `prevented`: docs.stripe.com/changelog/basil/2025-08-27/add-preventions-to-dispute
    later = ["appeal_needs_response", "appeal_under_review", "prevented"]
    schemas["dispute"]["properties"]["status"]["enum"] += later
    # docs.stripe.com/changelog/basil/2025-04-30/refund-pending-reason; no reason where the refund is not pending
    reasons = {"type": "string", "enum": ["charge_pending", "insufficient_funds", "processing"]}
    schemas["refund"]["properties"]["pending_reason"] = {"anyOf": [reasons, {"type": "null"}]}
    # docs.stripe.com/payments/multicapture
    bodies["/v1/payment_intents/{intent}/capture"]["properties"]["final_capture"] = {"type": "boolean"}
    card = bodies["/v1/payment_intents"]["properties"]["payment_method_options"]["properties"]["card"]
    card["properties"]["request_multicapture"] = {"type": "string", "enum": ["if_available", "never"]}
