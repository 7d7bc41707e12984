"""What a worker says of its systems when some of them are away, refuse it, or do not answer."""

import asyncio
import dataclasses
from typing import NoReturn

import pytest
from structlog.testing import capture_logs

from activities import examining
from activities.examining import Counterparts, ExaminingActivities, log_findings
from domain.closing import Closing
from domain.errors import ErrorCode, Refused, Unavailable
from domain.examination import Counterpart, Examination, ExaminationRequest
from domain.findings import Finding, Subject
from domain.keys import EffectKey
from domain.order import Order
from providers.gateway.stripe import StripeGateway
from providers.mail.smtp import SmtpMailer
from providers.orders.plain import PlainOrders
from providers.stored_value.none import NoStoredValue
from tests.system import System


class Shop(PlainOrders):
    """Has no orders, or raises this."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure or Refused(ErrorCode.ORDER_NOT_FOUND, "The shop has no such order.")

    async def read(self, order_id: str) -> Order:
        raise self.failure

    async def close(self, order_id: str, closing: Closing, before: Closing | None, *, key: EffectKey) -> None:
        raise AssertionError("an examination closes no order")


class SecretiveShop(Shop):
    async def list_findings(self) -> NoReturn:
        raise Unavailable("The shop does not say what it can do.")


@pytest.fixture
def counterparts(bare_system: System) -> Counterparts:
    """All of them answer."""
    return Counterparts(
        register=bare_system.books,
        orders=bare_system.orders,
        stored_value=bare_system.stored_value,
        gateway=bare_system.gateway,
        labels=bare_system.labels,
        intercepts=bare_system.intercepts,
        mailer=bare_system.mailer,
    )


async def examine(counterparts: Counterparts) -> Examination:
    return await ExaminingActivities(counterparts, "test").examine_counterparts(ExaminationRequest())


def failures(found: Examination) -> dict[Counterpart, str]:
    return {answer.counterpart: answer.failure for answer in found.answers if answer.failure is not None}


async def test_nobody_fails_for_another_and_each_says_why(
    counterparts: Counterparts, bare_system: System, unused_tcp_port: int
) -> None:
    """The gateway refuses the key, the mail server is away, and the shop raises what no adapter may."""
    gateway = StripeGateway("wrong", bare_system.shop.gateway.url)
    found = await examine(
        dataclasses.replace(
            counterparts,
            gateway=gateway,
            mailer=SmtpMailer("127.0.0.1", unused_tcp_port, "shop@example.com"),
            orders=Shop(KeyError("sk_live_secret")),
        )
    )
    await gateway.aclose()
    assert found.failed
    said = failures(found)
    assert sorted(said) == [Counterpart.GATEWAY, Counterpart.MAIL, Counterpart.ORDERS]
    assert "key" in said[Counterpart.GATEWAY]
    assert "not taking connections" in said[Counterpart.MAIL]
    assert "KeyError" in said[Counterpart.ORDERS]
    assert not [sentence for sentence in said.values() if "secret" in sentence or "\n" in sentence]


async def test_wrong_credentials_are_a_failure_and_any_other_refusal_is_an_answer(counterparts: Counterparts) -> None:
    wrong = Shop(Refused(ErrorCode.PROVIDER_REJECTED_CREDENTIALS, "The shop rejected the password. Check it."))
    refused = await examine(dataclasses.replace(counterparts, orders=wrong))
    assert failures(refused) == {Counterpart.ORDERS: "The shop rejected the password. Check it."}
    assert refused.findings

    found = await examine(dataclasses.replace(counterparts, orders=Shop(), stored_value=NoStoredValue()))
    assert failures(found) == {}
    assert {finding.subject for finding in found.findings if finding.known} == {
        Subject.GOODS_COMING_BACK,
        Subject.STOCK,
        Subject.CONCURRENT_CLOSES,
    }


async def test_a_shop_that_does_not_say_what_it_can_do_has_not_answered(counterparts: Counterparts) -> None:
    found = await examine(dataclasses.replace(counterparts, orders=SecretiveShop()))
    assert failures(found) == {Counterpart.ORDERS: "The shop does not say what it can do."}
    assert found.findings == ()


async def test_who_takes_a_connection_and_says_nothing_holds_up_nobody(
    counterparts: Counterparts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examining, "DEADLINE", 0.5)

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1") as listening:
        port = listening.sockets[0].getsockname()[1]
        found = await examine(
            dataclasses.replace(counterparts, mailer=SmtpMailer("127.0.0.1", port, "shop@example.com"))
        )
    assert failures(found) == {Counterpart.MAIL: "There was no answer within 0.5 seconds."}


# At the start of a worker


async def test_what_is_not_known_of_the_orders_is_a_line_each() -> None:
    with capture_logs() as lines:
        await log_findings(Shop())
    unknown = [finding for finding in await Shop().list_findings() if not finding.known]
    assert [(line["event"], line["subject"], line["why"]) for line in lines] == [
        ("not_known_of_orders", finding.subject, finding.sentence) for finding in unknown
    ]
    assert Finding.of(Subject.FREEZING, known=False) in unknown


@pytest.mark.parametrize(
    "failure",
    [
        Unavailable("The shop does not answer."),
        Refused(ErrorCode.PROVIDER_REJECTED_CREDENTIALS, "The shop rejected the password."),
    ],
    ids=["away", "wrong password"],
)
async def test_a_shop_that_does_not_answer_is_one_warning(failure: Refused | Unavailable) -> None:
    with capture_logs() as lines:
        await log_findings(Shop(failure))
    assert [(line["event"], line["log_level"], line["why"]) for line in lines] == [
        ("orders_do_not_answer", "warning", failure.message)
    ]
