"""Keep of a provider's published description what the tests need, in one form: the operations in use, and the schemas that
they refer to.

    python -m tests.specifications.trim ups DeliveryIntercept.yaml OAuthClientCredentials.yaml
    python -m tests.specifications.trim mirakl mirakl-mmp-seller-openapi.json
    python -m tests.specifications.trim easypost tests/cassettes
    python -m tests.specifications.trim stripe spec3.yaml

Where each of them comes from, and under which licence, is in the README.md of the folder above. Of every source only names,
types, bounds and what is required stay: descriptions and examples do not.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from tests.specifications.trim.easypost import trim_recordings
from tests.specifications.trim.openapi import Json, read, trim
from tests.specifications.trim.stripe import trim_stripe

HERE = Path(__file__).parent.parent
_MIRAKL = [("get", "/api/orders"), ("put", "/api/orders/cancel"), ("put", "/api/orders/refund")]
_UPS = [
    ("post", "/return/{tracking_number}"),
    ("post", "/cancel/{tracking_number}"),
    ("get", "/eligibility/intercept/{tracking_number}"),
    ("post", "/security/v1/oauth/token"),
]
_PAGES = [
    {"in": "query", "name": "max", "required": False, "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
    {"in": "query", "name": "offset", "required": False, "schema": {"type": "integer", "minimum": 0}},
]
"""Mirakl describes paging once for all lists, in a chapter outside of their parameters."""


def trim_ups(files: Sequence[Path]) -> Json:
    return trim([read(file) for file in files], _UPS)


def trim_mirakl(files: Sequence[Path]) -> Json:
    trimmed = trim([read(file) for file in files], _MIRAKL)
    for operation in trimmed["operations"]:
        if operation["path"] == "/api/orders":
            operation["parameters"] += _PAGES
            for parameter in operation["parameters"]:
                # The document gives these texts a greatest number, which no text has: it is that of their parts.
                parameter["schema"].pop("maximum", None)
    return trimmed


def main() -> None:
    trims = {"ups": trim_ups, "mirakl": trim_mirakl, "easypost": trim_recordings, "stripe": trim_stripe}
    parser = argparse.ArgumentParser(
        prog="python -m tests.specifications.trim",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("provider", choices=trims)
    parser.add_argument("sources", type=Path, nargs="+")
    given = parser.parse_args()
    found = trims[given.provider](given.sources)
    operations = ",\n".join(json.dumps(operation, ensure_ascii=False) for operation in found["operations"])
    schemas = ",\n".join(f"{json.dumps(name)}: {json.dumps(schema)}" for name, schema in found["schemas"].items())
    text = f'{{"operations": [\n{operations}\n],\n"schemas": {{\n{schemas}\n}}}}\n'
    (HERE / given.provider / "specification.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
