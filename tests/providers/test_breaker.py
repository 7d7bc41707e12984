"""A provider that is away is asked by one call at a time, and by all in steps once it answers again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from domain.errors import ErrorCode, OutcomeUnknown, Refused, StepError, Unavailable
from domain.examination import Counterpart
from domain.money import money
from providers.breaker import LAST_STEP, LONGEST_PAUSE, OPENS_AFTER, RECOVERY, Breaker, one_attempt
from providers.carrier.easypost import EasyPostLabels
from providers.carrier.ups import UpsIntercepts
from providers.gateway.stripe import StripeGateway
from providers.mail.port import Mail
from providers.mail.smtp import SmtpMailer
from providers.marketplace.mirakl import MiraklMarketplace
from providers.orders.vendure.api import VendureApi
from providers.orders.vendure.orders import VendureOrders
from providers.orders.vendure.shop_file import ShopFile
from sandbox.gateway.messages import FaultKind
from tests.fixtures.gateway import GatewaySandbox


@dataclass
class Provider:
    """A breaker before a provider, with a clock that the test moves."""

    now: float = 0.0
    calls: int = 0

    def __post_init__(self) -> None:
        self.breaker = Breaker(Counterpart.GATEWAY, "The gateway", lambda: self.now)

    def ask(self, status: int | None = 200) -> None:
        """One call, and its answer; None: there is none. Raises Unavailable when it is not let in."""
        with self.breaker.call() as call:
            self.calls += 1
            call.note_status(status)
            if status is None:
                raise ConnectionError

    def ask_in_vain(self) -> None:
        with contextlib.suppress(ConnectionError):
            self.ask(None)

    def refusal(self) -> Unavailable | None:
        """None: it is let in, and answered."""
        try:
            self.ask()
        except Unavailable as refusal:
            return refusal
        return None

    def open_breaker(self) -> None:
        for _ in range(OPENS_AFTER):
            self.ask_in_vain()
        assert self.breaker.away_since is not None


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def away(provider: Provider) -> Provider:
    provider.open_breaker()
    return provider


def test_after_some_calls_in_a_row_without_an_answer_nobody_is_sent_there(provider: Provider) -> None:
    with capture_logs() as lines:
        provider.open_breaker()
        refusals = [provider.refusal() for _ in range(100)]
    assert provider.calls == OPENS_AFTER
    assert all(refusal and "The gateway has not answered since" in refusal.message for refusal in refusals)
    assert [(line["event"], line["log_level"], line["counterpart"]) for line in lines] == [
        ("provider_away", "warning", Counterpart.GATEWAY)
    ]


@pytest.mark.parametrize("status", [200, 402, 404, 409, 429])
def test_a_refusal_or_a_busy_answer_is_an_answer(provider: Provider, status: int) -> None:
    for _ in range(3 * OPENS_AFTER):
        for _ in range(OPENS_AFTER - 1):
            provider.ask(503)
        provider.ask(status)
    assert provider.breaker.away_since is None


def test_a_refusal_without_a_status_is_an_answer_too(provider: Provider) -> None:
    for _ in range(3 * OPENS_AFTER):
        with pytest.raises(Refused), provider.breaker.call():
            raise Refused(ErrorCode.MAIL_REFUSED, "No such mailbox.")
    assert provider.breaker.away_since is None


def test_what_is_not_let_in_comes_back_at_another_time_each(away: Provider) -> None:
    times = [refusal.retry_after for refusal in (away.refusal() for _ in range(500)) if refusal and refusal.retry_after]
    assert len(set(times)) == 500
    assert 0 < min(times) < max(times) <= 2 * LONGEST_PAUSE


def test_of_an_hour_of_many_callers_a_call_each_half_minute_is_left(away: Provider) -> None:
    before = away.calls
    while away.now < 3_600:
        away.now += 0.1
        with contextlib.suppress(Unavailable):
            away.ask_in_vain()
    assert 3_600 / LONGEST_PAUSE - 1 <= away.calls - before <= 3_600 / LONGEST_PAUSE + 6


def test_one_call_at_a_time_tries_whether_it_answers(away: Provider) -> None:
    away.now += LONGEST_PAUSE
    with away.breaker.call():
        assert all(away.refusal() for _ in range(10))


def _let_in(provider: Provider, callers: ExitStack) -> int:
    """How many of a crowd are let in at once, and wait for their answer."""
    count = 0
    for _ in range(1_000):
        with contextlib.suppress(Unavailable):
            callers.enter_context(provider.breaker.call())
            count += 1
    return count


def test_once_it_answers_the_others_are_let_in_by_steps(away: Provider) -> None:
    away.now += LONGEST_PAUSE
    away.ask()
    steps = list[int]()
    while not steps or steps[-1] < LAST_STEP:
        with ExitStack() as callers:
            steps.append(_let_in(away, callers))
    assert steps == [2, 4, 8, 16, 32]
    with ExitStack() as callers:
        assert _let_in(away, callers) == 1_000, "it is closed"


def test_a_busy_answer_is_a_sign_of_life_and_makes_no_step_larger(away: Provider) -> None:
    away.now += LONGEST_PAUSE
    away.ask(429)
    assert away.breaker.away_since is None
    for _ in range(100):
        away.ask(429)
    with ExitStack() as callers:
        assert _let_in(away, callers) == 2


def test_where_few_ask_the_steps_end_by_time(away: Provider) -> None:
    away.now += LONGEST_PAUSE
    away.ask()
    away.now += RECOVERY
    away.ask_in_vain()
    assert away.breaker.away_since is None, "one lost call a minute later is no outage"


def test_while_it_recovers_one_call_without_an_answer_is_enough(away: Provider) -> None:
    away.now += LONGEST_PAUSE
    away.ask()
    away.ask_in_vain()
    assert away.refusal()


def test_a_try_that_is_given_up_had_no_answer_and_any_other_call_says_nothing(provider: Provider) -> None:
    def give_up() -> None:
        with pytest.raises(asyncio.CancelledError), provider.breaker.call():
            raise asyncio.CancelledError

    for _ in range(3 * OPENS_AFTER):
        give_up()
    assert provider.breaker.away_since is None
    provider.open_breaker()
    provider.now += LONGEST_PAUSE
    give_up()
    assert provider.refusal(), "the next try comes after a pause"
    provider.now += LONGEST_PAUSE
    assert provider.refusal() is None


def test_what_was_sent_before_says_nothing_of_the_time_after(provider: Provider) -> None:
    with ExitStack() as slow:
        for _ in range(3):
            slow.enter_context(provider.breaker.call())
        provider.open_breaker()
    assert provider.breaker.away_since is not None


def test_an_attempt_that_was_let_in_goes_on_to_its_end(away: Provider) -> None:
    """What it has begun it carries out, and looks at what came of it, also while others are not let in."""
    away.now += LONGEST_PAUSE
    with one_attempt(), ExitStack() as others:
        away.ask()
        assert sum(_joins(away, others) for _ in range(10)) == 2
        away.ask()
        away.ask()


def test_an_attempt_that_was_held_up_is_not_let_in(provider: Provider) -> None:
    """I2: it may be one call of several, and the process may have stood still since the first of them."""

    def raise_late() -> None:
        if provider.calls:
            raise Unavailable("It was held up.")

    with one_attempt(raise_late):
        provider.ask()
        late = provider.refusal()
    assert late is not None
    assert late.message == "It was held up."
    assert provider.breaker.away_since is None


def _joins(provider: Provider, callers: ExitStack) -> bool:
    """Whether another attempt is let in; it waits for its answer then."""
    with one_attempt():
        try:
            callers.enter_context(provider.breaker.call())
        except Unavailable:
            return False
        return True


def test_an_attempt_knows_which_of_its_providers_is_away(away: Provider) -> None:
    with one_attempt() as asked:
        assert asked.away is None
        assert away.refusal()
        assert asked.away is away.breaker


# Every adapter has one

Ask = Callable[[], Awaitable[object]]


class Deaf:
    """Takes connections and closes them."""

    def __init__(self) -> None:
        self.connections = 0

    async def answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()


@pytest.fixture
async def deaf() -> AsyncIterator[tuple[Deaf, int]]:
    deaf = Deaf()
    async with await asyncio.start_server(deaf.answer, "127.0.0.1") as listening:
        yield deaf, listening.sockets[0].getsockname()[1]


def _adapters(port: int) -> Iterator[tuple[str, Ask, Callable[[], Awaitable[None]] | None]]:
    """A call of each that goes to the provider."""
    url = f"http://127.0.0.1:{port}"
    gateway = StripeGateway("sk_test_x", url)
    yield "gateway", lambda: gateway.read_payment("pi_1"), gateway.aclose
    yield "gateway, writing", lambda: gateway.refund("pi_1", money("1.00 USD"), key="k"), gateway.aclose
    labels = EasyPostLabels("key", f"{url}/v2")
    yield "labels", lambda: labels.track("shp_1"), None
    intercepts = UpsIntercepts("id", "secret", url)
    yield "intercepts", lambda: intercepts.active("1Z1"), intercepts.aclose
    marketplace = MiraklMarketplace(url, "key", orders_every=0)
    yield "marketplace", lambda: marketplace.read_sale("M-1"), marketplace.aclose
    orders = VendureOrders(VendureApi(f"{url}/admin-api", "user", "password"), ShopFile())
    yield "orders", lambda: orders.read("1"), orders.aclose
    mailer = SmtpMailer("127.0.0.1", port, "shop@example.com")
    yield "mail", lambda: _send(mailer), None


async def _send(mailer: SmtpMailer) -> None:
    async with mailer.connection() as connection:
        await connection.send(Mail(message_id="<1@x>", to="jo@example.com", subject="s", body="b"))


@pytest.mark.parametrize("name", [name for name, *_ in _adapters(1)])
async def test_every_adapter_asks_nobody_while_its_provider_is_away(name: str, deaf: tuple[Deaf, int]) -> None:
    counted, port = deaf
    [(ask, close)] = [(ask, close) for known, ask, close in _adapters(port) if known == name]
    for _ in range(OPENS_AFTER):
        with pytest.raises((Unavailable, OutcomeUnknown)) as failed:
            await ask()
        assert "has not answered since" not in str(failed.value)
    connections = counted.connections
    for _ in range(20):
        with pytest.raises(Unavailable, match="has not answered since") as refused:
            await ask()
        assert refused.value.retry_after
    assert counted.connections == connections
    if close:
        await close()


async def test_a_failure_that_the_gateway_repeats_from_its_record_is_an_answer(
    gateway: StripeGateway, gateway_sandbox: GatewaySandbox
) -> None:
    """Stripe keeps an answer of 500 under its key. Whoever asks again and again for that one closes it for nobody."""
    amount = money("1.00 USD")
    payment = await gateway_sandbox.admin.create_payment(amount, capture=amount)
    await gateway_sandbox.admin.add_fault(
        "refund.create", FaultKind.HTTP_500_BEFORE, payment=payment, times=OPENS_AFTER
    )
    for _ in range(OPENS_AFTER + 1):
        with contextlib.suppress(StepError):
            await gateway.refund(payment, amount, key="k-500")
    assert gateway.breaker.away_since is None
    assert (await gateway.read_payment(payment)).refunded == amount
