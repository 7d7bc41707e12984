"""What the workflow believes of an activity is what the worker hosts."""

import typing

import pytest

from activities import signatures
from activities.notices import NoticeActivities
from activities.orders import OrderActivities
from activities.payments import PaymentActivities
from activities.refunds import RefundActivities
from activities.shipments import ShipmentActivities
from domain.outcome import StepName
from workflows.steps import ALL_STEPS, Role

HOSTS = (OrderActivities, ShipmentActivities, PaymentActivities, RefundActivities, NoticeActivities)


@pytest.mark.parametrize("step", ALL_STEPS, ids=lambda step: step.signature.name)
def test_the_worker_hosts_the_step_with_the_same_input_and_result(step: typing.Any) -> None:
    found = [getattr(host, step.signature.name) for host in HOSTS if hasattr(host, step.signature.name)]
    assert len(found) == 1
    hints = typing.get_type_hints(found[0])
    assert hints["step"] is step.signature.takes
    assert hints["return"] is (step.signature.gives or type(None))


def test_every_step_has_a_row_and_every_row_is_bounded() -> None:
    assert {step.signature.name for step in ALL_STEPS} == set(StepName)
    for step in ALL_STEPS:
        assert step.heartbeat < step.attempt < step.round
        assert len(step.summary("x" * 300).encode()) <= 200


def test_only_steps_before_the_pivot_roll_back_on_a_refusal() -> None:
    roles = {step.signature.name: step.role for step in ALL_STEPS}
    assert roles[StepName.REVERSE_PAYMENT] is Role.PIVOT
    assert {name for name, role in roles.items() if role is Role.COMPENSATABLE} == {
        StepName.VERIFY_ORDER,
        StepName.STOP_SHIPMENT,
    }


def test_every_step_input_carries_the_key_of_its_effect() -> None:
    assert set(signatures.StepInput.model_fields) == {"cancellation_id", "order_id", "target", "key"}
