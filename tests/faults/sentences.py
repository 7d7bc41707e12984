"""What a person is told to do with money, held against what was really done with it."""

import re
from collections.abc import Iterator, Sequence

from domain.money import Money, money
from domain.outcome import Wait
from domain.step import StepName
from tests.faults.model import FAILED, REFUNDED, RELEASED, AtGateway

_RESERVED_NO_MORE = re.compile(r"(\S+ [A-Z]{3}) of tender (\S+) of order \S+ is reserved no more")
_WENT_BACK = re.compile(r"(\S+ [A-Z]{3}) of tender (\S+) of order \S+ went back to the customer")
_TOO_MUCH = re.compile(r"(\S+ [A-Z]{3}) more than is due")
_FOR_WHICH_ORDER = re.compile(r"\(refund (\S+?)\)")
_BY_OTHER_WAYS = ("by hand", "by the bank")


def read_excess(wait: Wait) -> Money | None:
    """What is to be collected, below zero, because it was given twice. None: it is about something else."""
    found = _TOO_MUCH.match(wait.reason) if wait.step is StepName.CHECK_REFUND else None
    return found and Money.zero(money(found[1]).currency) - money(found[1])


def read_refunds_to_name(wait: Wait) -> tuple[str, ...]:
    """The refunds of others at a payment that pays other orders too, where a person is asked for which order they were."""
    is_asked = wait.step is StepName.REVERSE_PAYMENT and "Find out for which order that was" in wait.reason
    return tuple(_FOR_WHICH_ORDER.findall(wait.reason)) if is_asked else ()


def find_wrong_amounts(wait: Wait, cancellation: str, effects: Sequence[AtGateway]) -> Iterator[str]:
    """Of a roll-back: what is to be paid anew was released, and what is to be collected was refunded, and may have failed
    since. What people or the bank have given back is not looked at; of what was cancelled at a marketplace, which knows no
    key, it is not known for which cancellation."""
    if wait.step is not StepName.RESTORE_PAYMENT:
        return
    on_tender = [effect for effect in effects if effect.tender_id == wait.target]
    released = sum(effect.amount for effect in on_tender if effect.kind == RELEASED)
    for found, _ in _RESERVED_NO_MORE.findall(wait.reason):
        if money(found).amount != released:
            yield f"a person is told that {found} of {wait.target} is reserved no more, and {released} was released"
    if any(way in wait.reason for way in _BY_OTHER_WAYS):
        return
    failed = {effect.object_id for effect in effects if effect.kind == FAILED}
    refunded = [effect for effect in on_tender if effect.kind == REFUNDED]
    refunds = [effect for effect in refunded if effect.cancellation == cancellation]
    least = sum(effect.amount for effect in refunds if effect.object_id not in failed)
    at_marketplace = [effect for effect in refunded if effect.key is None and not effect.by_others]
    most = sum(effect.amount for effect in (*refunds, *at_marketplace))
    for found, _ in _WENT_BACK.findall(wait.reason):
        if not least <= money(found).amount <= most:
            yield f"a person is told to collect {found} of {wait.target}, and {least} was refunded"
