"""Texts of people: what every message, request, body, row and option takes of them, and in which words it is refused."""

import re
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Annotated, Any

import pytest
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from domain.base import describe_validation_error
from domain.messages import (
    Approve,
    ChooseRefundMethod,
    Reject,
    Resolution,
    ResolveStep,
    RetryStep,
    Withdraw,
)
from domain.money import CurrencyCode
from domain.payment import RefundStatus
from domain.request import Actor, ActorKind, CancellationRequest, Channel, ReasonCode
from domain.terms import RefundMethod
from domain.texts import Reference
from web.bodies import (
    CancellationBody,
    ChooseRefundMethodBody,
    NoteBody,
    ResolveStepBody,
    RetryStepBody,
    WithdrawBody,
)

PERSON = Actor(kind=ActorKind.REFUND_DEPARTMENT, id="R-1")
STEP = {"step": "reverse_payment", "target": "T1"}
RESOLUTION = {**STEP, "resolution": Resolution.DONE_BY_HAND, "reference": "BANK-1"}
CHOICE = {"target": "T1", "method": RefundMethod.STORE_CREDIT}
ASKED = {
    "request_id": "R-1",
    "order_id": "O-1",
    "actor": PERSON,
    "channel": Channel.API,
    "reason": ReasonCode.CANNOT_SHIP,
}


def made(model: type[BaseModel], given: dict[str, Any]) -> Callable[..., BaseModel]:
    return lambda **more: model.model_validate({**given, **more})


MESSAGES = {
    "CancellationRequest": made(CancellationRequest, ASKED),
    "Approve": made(Approve, {"actor": PERSON}),
    "Reject": made(Reject, {"actor": PERSON}),
    "Withdraw": made(Withdraw, {"actor": PERSON}),
    "RetryStep": made(RetryStep, {"actor": PERSON, **STEP}),
    "ResolveStep": made(ResolveStep, {"actor": PERSON, **RESOLUTION}),
    "ChooseRefundMethod": made(ChooseRefundMethod, {"actor": PERSON, **CHOICE}),
}
BODIES = {
    "CancellationBody": made(CancellationBody, {"reason": ReasonCode.CANNOT_SHIP}),
    "NoteBody": made(NoteBody, {}),
    "WithdrawBody": made(WithdrawBody, {}),
    "RetryStepBody": made(RetryStepBody, STEP),
    "ResolveStepBody": made(ResolveStepBody, RESOLUTION),
    "ChooseRefundMethodBody": made(ChooseRefundMethodBody, CHOICE),
}
UNSEEN = {
    "NUL": "a\x00b",
    "escape": "a\x1b[31mb",
    "delete": "a\x7fb",
    "C1": "a\x9bb",
    "right to left override": "a\u202eb",
    "isolate": "a\u2066b",
    "left to right mark": "a\u200eb",
    "Arabic letter mark": "a\u061cb",
    "line separator": "a\u2028b",
    "zero width space": "a\u200bb",
    "byte order mark": "\ufeffab",
    "half of a pair": "a\ud83d",
    "filler": "a\u3164b",
}


def sentence_of(make: Callable[..., BaseModel], **texts: str) -> str:
    with pytest.raises(ValidationError) as refused:
        make(**texts)
    return describe_validation_error(refused.value)


@pytest.mark.parametrize("text", UNSEEN.values(), ids=UNSEEN.keys())
@pytest.mark.parametrize("make", {**MESSAGES, **BODIES}.values(), ids={**MESSAGES, **BODIES}.keys())
def test_a_note_with_a_character_that_cannot_be_seen_is_refused_in_a_sentence(
    make: Callable[..., BaseModel], text: str
) -> None:
    """F17, E12"""
    said = sentence_of(make, note=text)
    assert said.startswith("note: it has a character that cannot be seen (U+")
    assert said.endswith("); leave it out")
    assert text not in said


@pytest.mark.parametrize("text", [*UNSEEN.values(), "two\nlines", "a\ttab"], ids=[*UNSEEN, "two lines", "tab"])
@pytest.mark.parametrize("make", [MESSAGES["ResolveStep"], BODIES["ResolveStepBody"]], ids=["message", "body"])
def test_a_reference_is_one_line_that_can_be_seen(make: Callable[..., BaseModel], text: str) -> None:
    """F17, E12: it is the proof in the ledger, and is looked for there."""
    assert sentence_of(make, reference=text).startswith("reference: it has ")


@pytest.mark.parametrize("text", ["", "   ", "\u00a0", "\u3000", "---", "."])
@pytest.mark.parametrize("make", [MESSAGES["ResolveStep"], BODIES["ResolveStepBody"]], ids=["message", "body"])
def test_a_reference_that_names_nothing_is_refused(make: Callable[..., BaseModel], text: str) -> None:
    """F17"""
    assert sentence_of(make, reference=text) == "reference: it names no proof; a letter or a digit at least"


@pytest.mark.parametrize("make", {**MESSAGES, **BODIES}.values(), ids={**MESSAGES, **BODIES}.keys())
def test_what_is_too_long_is_refused(make: Callable[..., BaseModel]) -> None:
    """E12"""
    assert "500 characters" in sentence_of(make, note="x" * 501)


@pytest.mark.parametrize("make", {**MESSAGES, **BODIES}.values(), ids={**MESSAGES, **BODIES}.keys())
def test_a_note_is_kept_as_people_write_it_without_the_blanks_around_it(make: Callable[..., BaseModel]) -> None:
    """E12: several lines, other scripts, emoji of several characters."""
    for text, kept in {
        "": "",
        " \n ": "",
        " late\r\n\ttoo late\r": "late\n\ttoo late",
        "x" * 300: "x" * 300,
        "שלום, 你好, می‌خواهم": "שלום, 你好, می‌خواهم",
        "👩‍👧 ok": "👩‍👧 ok",
        "<b>& 'x' \"y\" {{ z }}": "<b>& 'x' \"y\" {{ z }}",
    }.items():
        assert getattr(make(note=text), "note") == kept  # noqa: B009 (the models have no base of their own)


@pytest.mark.parametrize("text", ["T\x001", "T\u202e1", "T\n1", " ", "x" * 256])
@pytest.mark.parametrize("name", ["RetryStep", "ResolveStep", "ChooseRefundMethod"])
def test_a_target_is_one_line_that_can_be_seen(name: str, text: str) -> None:
    """E12: it stands in the answer that nothing of this name waits."""
    assert sentence_of(MESSAGES[name], target=text).startswith("target: ")


@pytest.mark.parametrize("name", MESSAGES)
def test_a_signature_has_no_character_that_cannot_be_seen(name: str) -> None:
    """E12: it is kept with the message."""
    assert sentence_of(MESSAGES[name], signature="a\x00b").startswith("signature: it has ")


@pytest.mark.parametrize("text", [*UNSEEN.values(), " ", "a b", "ü", "", "x" * 65], ids=repr)
@pytest.mark.parametrize("field", ["request_id", "order_id", "customer_id"])
def test_an_id_is_visible_ascii(field: str, text: str) -> None:
    """E12: ids become workflow ids, keys and search attributes."""
    assert sentence_of(MESSAGES["CancellationRequest"], **{field: text}).startswith(f"{field}: ")


@pytest.mark.parametrize("unseen", ["\u00ad", "\u034f", "\u17b4", "\u2062", "\U000e0041", "\U0001d173"])
def test_a_character_that_shows_nothing_is_refused_in_a_reference(unseen: str) -> None:
    """E12, F17: otherwise a proof reads as another one does."""
    with pytest.raises(ValidationError):
        TypeAdapter(Reference).validate_python(f"BANK{unseen}-1")


class Everything(BaseModel):
    """One field of each kind that a person writes somewhere: in a body, a file, an option or a setting."""

    model_config = ConfigDict(extra="forbid")

    whole: Annotated[int, Field(ge=1, lt=9)] = 1
    share: float = 1.0
    switch: bool = False
    text: Annotated[str, Field(max_length=3)] = ""
    several: Annotated[frozenset[str], Field(min_length=1, max_length=2)] = frozenset({"a"})
    named: Mapping[str, int] = {}
    patience: timedelta = timedelta()
    at: AwareDatetime | None = None
    day: date | None = None
    state: RefundStatus = RefundStatus.FAILED
    currency: CurrencyCode = "USD"


@pytest.mark.parametrize(
    ("field", "given", "says"),
    [
        ("whole", "x", "a whole number is needed"),
        ("whole", 0, "it has to be at least 1"),
        ("whole", 9, "it has to be less than 9"),
        ("share", "x", "a number is needed"),
        ("switch", "x", "true or false is needed"),
        ("text", 7, "a text is needed"),
        ("text", "abcd", "write at most 3 characters"),
        ("several", 7, "a list is needed"),
        ("several", [], "name at least 1"),
        ("several", ["a", "b", "c"], "name at most 2"),
        ("named", 7, "names with values are needed"),
        ("patience", "soon", "write a duration such as PT12H or P3D"),
        ("at", "2027-01-31T18:00:00", "write an instant such as 2027-01-31T18:00:00Z"),
        ("day", "soon", "write a day such as 2027-01-31"),
        ("state", "x", "it has to be one of 'requested', 'submitted', "),
        ("currency", "dollars", "write a currency as its three letters"),
        ("misspelt", 7, "there is no such field"),
    ],
)
def test_what_is_wrong_with_a_field_is_said_in_plain_words(field: str, given: object, says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Everything.model_validate({field: given})
    assert describe_validation_error(refused.value).startswith(f"{field}: {says}")


@pytest.mark.parametrize("text", ["", "{", "approve", '{"whole": 1}}'])
def test_what_is_no_json_is_said_with_its_place(text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Everything.model_validate_json(text)
    assert re.fullmatch(r"it is no JSON \(line 1 column \d+\)", describe_validation_error(refused.value))
