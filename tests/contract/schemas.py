"""The published contract as JSON Schemas, made of the models: `python -m tests.contract.schemas` writes docs/contract/."""

import json
import re
from pathlib import Path

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from domain.examination import Examination, ExaminationRequest
from domain.messages import (
    Acknowledgement,
    Approve,
    ChooseRefundMethod,
    Quote,
    Receipt,
    RefundEvent,
    Reject,
    ResolveStep,
    RetryStep,
    ShipmentEvent,
    Withdraw,
)
from domain.outcome import CancellationResult, Progress
from domain.plan import Plan
from domain.request import CancellationRequest

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "contract"
MESSAGE = re.compile(r"^\| (workflow|update|signal|query) \| `(\w+)` \|([^|]*)\|([^|]*)\|", re.MULTILINE)
"""A row of the table of messages in its README: kind, name, what it takes, what it gives."""

SENT: tuple[type[BaseModel], ...] = (
    CancellationRequest,
    Approve,
    Reject,
    Withdraw,
    RetryStep,
    ResolveStep,
    ChooseRefundMethod,
    ShipmentEvent,
    RefundEvent,
    ExaminationRequest,
)
ANSWERED: tuple[type[BaseModel], ...] = (
    Receipt,
    CancellationResult,
    Acknowledgement,
    Progress,
    Plan,
    Quote,
    Examination,
)


def schemas() -> dict[Path, str]:
    """The text of each file. What is sent may leave fields with a default out; what is answered has them all."""
    return {_file(model): _schema(model, sent=True) for model in SENT} | {
        _file(model): _schema(model, sent=False) for model in ANSWERED
    }


def _file(model: type[BaseModel]) -> Path:
    return FOLDER / f"{model.__name__}.schema.json"


def _schema(model: type[BaseModel], *, sent: bool) -> str:
    schema = model.model_json_schema(mode="validation" if sent else "serialization")
    return json.dumps({"$schema": GenerateJsonSchema.schema_dialect, **schema}, indent=2) + "\n"


if __name__ == "__main__":
    for file, text in schemas().items():
        file.write_text(text, encoding="utf-8")
