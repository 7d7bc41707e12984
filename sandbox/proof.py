"""The proof that the books balance: the lists that gateway, carrier, marketplace and mailbox keep against our own."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from domain.base import Value
from domain.money import Money
from domain.order import Order, TenderKind
from providers.books.tables import DocumentKind, LedgerAccount
from providers.gateway.stripe_objects import KEY
from providers.marketplace.mirakl import MiraklMarketplace
from sandbox import books, built_in
from sandbox.carrier.model import EffectKind as CarrierEffectKind
from sandbox.gateway.messages import Effect, EffectKind
from sandbox.mailbox import read_mails
from sandbox.marketplace.model import MARKETPLACE_KEY
from sandbox.marketplace.model import EffectKind as MarketplaceEffectKind
from sandbox.shop import Shop


class Balance(Value):
    """One currency: the gateway's own count against the ledger's, the credit notes against both. `at_gateway` was refunded
    there by anybody and has not failed, `elsewhere` is the part of it that was not ours; `settled` is what the ledger says
    was paid out through the gateway; `sold_elsewhere` is the seller's share that marketplaces have taken back; `put_back` is
    on gift cards and store credit that paid, and nothing was on them before;
    `by_hand` is what people paid outside, less what they collected; `credited` is on credit notes and no debit note;
    `payable` is what the ledger says is still owed to customers, `receivable` what they have got too much."""

    currency: str
    at_gateway: Money
    elsewhere: Money
    settled: Money
    sold_elsewhere: Money
    put_back: Money
    by_hand: Money
    credited: Money
    payable: Money
    receivable: Money

    @property
    def holds(self) -> bool:
        ours = self.at_gateway - self.elsewhere
        given = ours + self.sold_elsewhere + self.put_back + self.by_hand
        return ours == self.settled and given == self.credited + self.receivable and not self.payable


class Proof(Value):
    """`effects` counts by system and kind what was committed for cancellations; `repeated` names what was committed more
    than once. `mails` counts by order, a mail that was delivered twice once; `unsent` are notices without a mail."""

    balances: tuple[Balance, ...]
    effects: Mapping[str, int]
    repeated: tuple[str, ...]
    mails: Mapping[str, int]
    unsent: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        return (
            *(f"The books do not balance in {balance.currency}." for balance in self.balances if not balance.holds),
            *(f"Committed more than once: {effect}." for effect in self.repeated),
            *(f"Notice {notice} did not become a mail." for notice in self.unsent),
        )


async def examine(shop: Shop, mailbox: Path, orders: Sequence[Order]) -> Proof:
    """Look once everything is over and every notice is sent."""
    at_gateway = await shop.gateway.effects()
    committed = [
        *_by_us(at_gateway),
        *await _at_carrier(shop),
        *await _at_marketplace(shop),
        *await _at_the_merchant(shop),
    ]
    notices = await books.notices(shop.engine)
    mails = {mail.message_id.strip("<").partition("@")[0]: mail.to for mail in read_mails(mailbox)}
    return Proof(
        balances=tuple([await _balance(currency, at_gateway, shop, orders) for currency in _currencies(orders)]),
        effects=dict(sorted(Counter(effect.rpartition(" ")[0] for effect in committed).items())),
        repeated=tuple(effect for effect, times in Counter(committed).items() if times > 1),
        mails=Counter(map(_order_of, mails.values())),
        unsent=tuple(notice.notice_id for notice in notices if notice.notice_id.replace("/", ".") not in mails),
    )


def _by_us(at_gateway: Iterable[Effect]) -> list[str]:
    """Past a broken answer the adapter goes on under the next key of a row (`…~1`); an effect is to be there once in all
    of them."""
    ours = [effect for effect in at_gateway if (effect.key or "").startswith("can-")]
    return [f"gateway {effect.kind} {(effect.key or '').partition('~')[0]}" for effect in ours]


async def _at_carrier(shop: Shop) -> list[str]:
    """A new label is another shipment under the reference of its cancellation; everything else happens to a shipment."""
    sold = {label for labels in shop.labels.values() for label in labels}
    committed = []
    for effect in await shop.carrier.effects():
        new = effect.kind is CarrierEffectKind.LABEL_BOUGHT
        if not (new and effect.object in sold):
            committed.append(f"carrier {effect.kind} {effect.key if new else effect.object}")
    return committed


async def _at_marketplace(shop: Shop) -> list[str]:
    if shop.marketplace is None:
        return []
    ours = [effect for effect in await shop.marketplace.effects() if effect.kind is not MarketplaceEffectKind.REFUNDED]
    return [f"marketplace {effect.kind} {effect.line_id}" for effect in ours]


async def _sold_elsewhere(shop: Shop, orders: Iterable[Order]) -> list[Money]:
    """What each marketplace says that it has taken back."""
    if shop.marketplace is None:
        return []
    marketplace = MiraklMarketplace(shop.marketplace.url, MARKETPLACE_KEY, orders_every=0)
    try:
        return [
            (await marketplace.read_sale(tender.reference)).refunded
            for order in orders
            for tender in order.tenders
            if tender.kind is TenderKind.MARKETPLACE
        ]
    finally:
        await marketplace.aclose()


async def _at_the_merchant(shop: Shop) -> list[str]:
    return [f"merchant {effect.kind} {effect.key}" for effect in await built_in.effects(shop.engine)]


def _currencies(orders: Iterable[Order]) -> list[str]:
    return sorted({order.currency for order in orders}, reverse=True)


async def _balance(currency: str, at_gateway: Iterable[Effect], shop: Shop, orders: Iterable[Order]) -> Balance:
    def total(amounts: Iterable[Money]) -> Money:
        return Money.total((amount for amount in amounts if amount.currency == currency), currency)

    refunds = [effect for effect in at_gateway if effect.kind is EffectKind.REFUND_CREATED]
    failed = [effect for effect in at_gateway if effect.kind in {EffectKind.REFUND_FAILED, EffectKind.REFUND_CANCELED}]
    ledger = await books.ledger(shop.engine)
    documents = await books.documents(shop.engine)

    accounts = [t.reference for order in orders for t in order.tenders if t.kind.is_stored_value]

    def account(name: LedgerAccount) -> Money:
        """Credits less debits."""
        credits_ = total(transfer.amount for transfer in ledger if transfer.credit is name)
        return credits_ - total(transfer.amount for transfer in ledger if transfer.debit is name)

    return Balance(
        currency=currency,
        at_gateway=total(map(_money, refunds)) - total(map(_money, failed)),
        elsewhere=total(_money(effect) for effect in refunds if KEY not in effect.metadata),
        settled=account(LedgerAccount.GATEWAY_CLEARING),
        sold_elsewhere=total(await _sold_elsewhere(shop, orders)),
        put_back=total([await built_in.balance(shop.engine, reference) for reference in accounts]),
        by_hand=account(LedgerAccount.MANUAL_CLEARING),
        credited=total(d.total for d in documents if d.kind is DocumentKind.CREDIT_NOTE)
        - total(d.total for d in documents if d.kind is DocumentKind.DEBIT_NOTE),
        payable=account(LedgerAccount.REFUNDS_PAYABLE),
        receivable=-account(LedgerAccount.CUSTOMER_RECEIVABLE),
    )


def _money(effect: Effect) -> Money:
    """Stripe's units are the minor units of ISO 4217 in every currency of the samples."""
    return Money(amount=effect.amount, currency=effect.currency.upper())


def _order_of(mail_address: str) -> str:
    return mail_address.partition("@")[0].removeprefix("c-")
