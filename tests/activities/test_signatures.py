"""What the workflow believes of an activity is what the worker hosts."""

import typing

import pytest

from activities import signatures
from activities.closing import ClosingActivities
from activities.notices import NoticeActivities
from activities.orders import OrderActivities
from activities.payments import PaymentActivities
from activities.refunds import RefundActivities
from activities.register import RegisterActivities
from activities.shipments import ShipmentActivities
from domain.step import UNDOABLE, UNDOING, StepName
from workflows.steps import ALL_STEPS, UNDO_OF, Role

HOSTS = (
    OrderActivities,
    ClosingActivities,
    ShipmentActivities,
    PaymentActivities,
    RefundActivities,
    NoticeActivities,
    RegisterActivities,
)
SIGNATURES = [found for found in vars(signatures).values() if isinstance(found, signatures.Signature)]


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda signature: signature.name)
def test_the_worker_hosts_the_step_with_the_same_input_and_result(
    signature: signatures.Signature[typing.Any, typing.Any],
) -> None:
    found = [getattr(host, signature.name) for host in HOSTS if hasattr(host, signature.name)]
    assert len(found) == 1
    hints = typing.get_type_hints(found[0])
    assert hints["step_input"] is signature.input
    assert hints["return"] is signature.output


def test_every_step_has_a_row_and_every_row_is_bounded() -> None:
    assert {signature.name for signature in SIGNATURES} == set(StepName)
    assert {step.signature.name for step in ALL_STEPS} == set(StepName)
    for step in ALL_STEPS:
        assert step.heartbeat < step.attempt
        assert step.round is None or step.attempt < step.round
        assert len(step.summary("x" * 300).encode()) <= 200


def test_only_steps_before_the_pivot_roll_back_on_a_refusal() -> None:
    roles = {step.signature.name: step.role for step in ALL_STEPS}
    assert roles[StepName.REVERSE_PAYMENT] is Role.PIVOT
    assert {name for name, role in roles.items() if role is Role.COMPENSATABLE} == {
        StepName.VERIFY_ORDER,
        StepName.STOP_SHIPMENT,
    }


def test_what_can_be_undone_is_what_a_row_says() -> None:
    """The domain names them without knowing the rows. The hold is the process's own to take off, last."""
    assert {name for name in UNDO_OF if name is not StepName.VERIFY_ORDER} == UNDOABLE
    assert {undo.name for undo in UNDO_OF.values()} == UNDOING
    assert {step.name for step in ALL_STEPS if step.role is Role.COMPENSATION} == UNDOING


def test_every_step_input_carries_the_key_of_its_effect() -> None:
    assert set(signatures.StepInput.model_fields) == {"cancellation_id", "order_id", "target", "key", "last_seq", "at"}
    assert all(issubclass(signature.input, signatures.StepInput) for signature in SIGNATURES)
