"""The published contract says what the code does: other languages and teams build on it."""

import inspect
import re

from pydantic import BaseModel
from temporalio import workflow

from domain.messages import RefundEvent, ShipmentEvent
from domain.outcome import CancellationResult
from domain.request import CancellationRequest
from runtime.plugin import TASK_QUEUE
from tests.contract.schemas import FOLDER, MESSAGE, schemas
from workflows.cancellation import CancellationWorkflow
from workflows.quote import QuoteWorkflow

SIGNALS = {"shipment_event": ShipmentEvent, "refund_event": RefundEvent}
README = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_published_schemas_are_those_of_the_models() -> None:
    published = {file: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.schema.json")}
    assert published == schemas(), "run `make contract`"


def test_every_message_of_the_workflow_is_published_under_its_name() -> None:
    definition = workflow._Definition.must_from_class(CancellationWorkflow)
    handlers = [("update", name, update.fn) for name, update in definition.updates.items()]
    handlers += [("query", name, query.fn) for name, query in definition.queries.items()]
    expected = {(kind, name, *_models(handler)) for kind, name, handler in handlers}
    # The run takes anything for a signal's argument, so that none is lost; what is sent is published.
    assert {*definition.signals} == {*SIGNALS}
    expected |= {("signal", name, model.__name__, "") for name, model in SIGNALS.items()}
    expected.add(("workflow", definition.name, CancellationRequest.__name__, CancellationResult.__name__))
    quote = workflow._Definition.must_from_class(QuoteWorkflow)
    expected.add(("workflow", quote.name, *_models(QuoteWorkflow.run)))
    rows = MESSAGE.findall(README)
    assert {(kind, name, _link(takes), _link(gives)) for kind, name, takes, gives in rows} == expected


def test_the_task_queue_is_published() -> None:
    assert f"`{TASK_QUEUE}`" in README


def _models(handler: object) -> tuple[str, str]:
    """What a handler takes and gives, by the name of the model; empty for nothing."""
    assert callable(handler)
    signature = inspect.signature(handler, eval_str=True)
    takes = [parameter.annotation for name, parameter in signature.parameters.items() if name != "self"]
    gives = signature.return_annotation
    models = [model for model in (getattr(gives, "__args__", ()) or (gives,)) if isinstance(model, type)]
    return "".join(model.__name__ for model in takes), "".join(m.__name__ for m in models if issubclass(m, BaseModel))


def _link(cell: str) -> str:
    """`[Plan](Plan.schema.json)` is Plan, provided that the file is there."""
    found = re.search(r"\[(\w+)\]\(\1\.schema\.json\)", cell)
    if found is None:
        return ""
    assert (FOLDER / f"{found[1]}.schema.json").exists()
    return found[1]
