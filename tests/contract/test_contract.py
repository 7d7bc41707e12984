"""The published contract says what the code does: other languages and teams build on it."""

import inspect
import re
from typing import get_args, get_type_hints

from pydantic import BaseModel
from temporalio import workflow

from domain import contract
from runtime.plugin import TASK_QUEUE
from tests.contract.schemas import FOLDER, MESSAGE, schemas
from workflows.cancellation import CancellationWorkflow
from workflows.examination import ExaminationWorkflow
from workflows.quote import QuoteWorkflow

SIGNALS = {row.name: row.message for row in (contract.SHIPMENT_EVENT, contract.REFUND_EVENT)}
README = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_published_schemas_are_those_of_the_models() -> None:
    published = {file: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.schema.json")}
    assert published == schemas(), "run `make contract`"


def test_every_message_of_the_workflow_is_published_under_its_name() -> None:
    published = {(kind, name, _link(takes), _link(gives)) for kind, name, takes, gives in MESSAGE.findall(README)}
    assert published == _messages_of_the_workflows()


def test_callers_reach_every_message_of_the_workflows_by_its_row() -> None:
    rows = set()
    for row in vars(contract).values():
        match row:
            case contract.WorkflowType():
                rows.add(("workflow", row.name, row.message.__name__, row.answer.__name__))
            case contract.UpdateType():
                rows.add(("update", row.name, row.message.__name__, row.answer.__name__))
            case contract.QueryType():
                rows.add(("query", row.name, "", row.answer.__name__))
            case contract.SignalType():
                rows.add(("signal", row.name, row.message.__name__, ""))
    assert rows == _messages_of_the_workflows()


def _messages_of_the_workflows() -> set[tuple[str, str, str, str]]:
    """Of each what it is, its name, what it takes and what it answers."""
    definition = workflow._Definition.must_from_class(CancellationWorkflow)
    handlers = [("update", name, update.fn) for name, update in definition.updates.items()]
    handlers += [("query", name, query.fn) for name, query in definition.queries.items()]
    expected = {(kind, str(name), *_models(handler)) for kind, name, handler in handlers}
    # The run takes anything for a signal's argument, so that none is lost; what is sent is published.
    assert {*definition.signals} == {*SIGNALS}
    expected |= {("signal", name, model.__name__, "") for name, model in SIGNALS.items()}
    # Its start may also be what an earlier run of the same cancellation carries on, which is nobody else's.
    assert contract.CANCELLATION.message in get_args(get_type_hints(CancellationWorkflow.run)["start"])
    gives = get_type_hints(CancellationWorkflow.run)["return"]
    expected.add(("workflow", str(definition.name), contract.CANCELLATION.message.__name__, gives.__name__))
    for looking in (QuoteWorkflow, ExaminationWorkflow):
        expected.add(("workflow", str(workflow._Definition.must_from_class(looking).name), *_models(looking.run)))
    return expected


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
