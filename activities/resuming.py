"""Letting a stopped shipment go on: the pick, the label, the parcel on its way, or the gift card."""

from functools import partial

from activities.attempt import Attempt, EffectAnswer, end_of
from activities.signatures import StepInput
from domain import key_parts
from domain.case import Case
from domain.errors import ErrorCode, Refused
from domain.facts import EffectEnded, EffectOutcome
from domain.keys import EffectKey
from domain.shipment import GoodsGroup, Shipment
from domain.step import StepName
from domain.stopping import BACK, VOID
from providers.carrier.port import Intercept, Intercepts, Labels, NewLabel
from providers.orders.port import Orders
from providers.stored_value.port import StoredValue


class Resuming:
    def __init__(self, orders: Orders, stored_value: StoredValue, labels: Labels, intercepts: Intercepts) -> None:
        self._orders = orders
        self._stored_value = stored_value
        self._labels = labels
        self._intercepts = intercepts

    async def resume(self, attempt: Attempt, shipment: Shipment | None) -> None:
        """None: the order has no such shipment any more. Refused: STOP_NOT_UNDOABLE."""
        step_input = attempt.step_input
        key = step_input.key
        if shipment is None:
            await attempt.note_found_done(key.part_of(key_parts.PICK), "the pick has another id")
            return
        if shipment.gift_card is not None:
            await self._reactivate(attempt, shipment.gift_card)
            return
        if shipment.label_reference is None:
            pick = key.part_of(key_parts.PICK)
            await attempt.make_effect(
                pick,
                lambda: self._orders.resume_pick(step_input.order_id, step_input.target, key=pick),
                lambda _: EffectAnswer(),
            )
            return
        label = shipment.label_reference
        tracking = await self._labels.track(label)
        if tracking.label in VOID and tracking.group in {GoodsGroup.NOT_HANDED_OVER, GoodsGroup.UNKNOWN}:
            await self._replace_label(attempt, label)
            return
        await attempt.note_found_done(key.part_of(key_parts.RELABEL), "on the shipment", reference=label)
        if tracking.group in BACK:
            raise _comes_back(step_input)
        number, intercept = shipment.tracking_number, key.part_of(key_parts.INTERCEPT)
        if number is None or not await self._intercepts.active(number):
            await attempt.note_found_done(intercept, "taken back")
        else:
            answer = await attempt.make_effect(
                intercept, lambda: self._intercepts.cancel(number, key=str(key)), _describe_cancel
            )
            ended = end_of(answer, _describe_cancel)
            if ended.outcome is not EffectOutcome.DONE:
                raise _comes_back(step_input)

    async def _replace_label(self, attempt: Attempt, voided: str) -> None:
        """Buy another label and put it on the shipment. These are two effects: when only the shipment could not be changed,
        a retry does not buy a label again, whatever its number."""
        step_input = attempt.step_input
        label_key = _key_of_new_label(attempt.case, step_input)
        buy_again = partial(self._labels.buy_again, voided, key=str(label_key.part_of("")))
        new = await attempt.make_effect(label_key, buy_again, _describe_label)
        if isinstance(new, EffectEnded):
            new = await buy_again()  # found by its key
        relabel = step_input.key.part_of(key_parts.RELABEL)
        await attempt.make_effect(
            relabel,
            partial(
                self._orders.relabel,
                step_input.order_id,
                step_input.target,
                new.label_reference,
                new.tracking_number,
                key=relabel,
            ),
            lambda _: EffectAnswer(new.label_reference, "on the shipment"),
        )

    async def _reactivate(self, attempt: Attempt, account: str) -> None:
        """Undo the deactivation under the key under which it may have been made. The undo is made once: under a key that
        is known to have done nothing it would undo nothing."""
        step_input, case = attempt.step_input, attempt.case
        noted = case.all_keys_noted(StepName.STOP_SHIPMENT, target=step_input.target)
        key = step_input.key.part_of(key_parts.GIFT_CARD)
        for undoes in noted:
            if undoes.part == key_parts.GIFT_CARD and _may_have_happened(case, undoes):
                await attempt.make_effect(
                    key,
                    partial(self._stored_value.reactivate, account, undoes=undoes, key=key),
                    lambda _: EffectAnswer(account),
                )


def _key_of_new_label(case: Case, step_input: StepInput) -> EffectKey:
    """The key under which a label may have been bought already; else this attempt's."""
    for key in case.all_keys_noted(StepName.RESUME_SHIPMENT, target=step_input.target):
        if key.part == key_parts.NEW_LABEL and _may_have_happened(case, key):
            return key
    return step_input.key.part_of(key_parts.NEW_LABEL)


def _may_have_happened(case: Case, key: EffectKey) -> bool:
    ended = case.outcome_of(key)
    return ended is None or ended.outcome not in {EffectOutcome.REFUSED, EffectOutcome.FAILED}


def _describe_label(new: NewLabel) -> EffectAnswer:
    return EffectAnswer(new.label_reference, "new label")


def _describe_cancel(answer: Intercept) -> EffectAnswer:
    if answer.accepted:
        return EffectAnswer(answer.reference, "taken back")
    return EffectAnswer(answer.reference, f"declined: {answer.detail}", outcome=EffectOutcome.REFUSED)


def _comes_back(step_input: StepInput) -> Refused:
    return Refused(
        ErrorCode.STOP_NOT_UNDOABLE,
        f"Shipment {step_input.target} of order {step_input.order_id} is on its way back and cannot be sent on; ship the "
        "goods again and resolve the step with the new shipment's number.",
    )
