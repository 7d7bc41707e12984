"""What customers, staff and the warehouse do in the shop, and what it shows."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from pydantic import JsonValue

from domain.money import Money
from domain.order import Order, OrderFlag
from domain.shipment import Shipment
from sandbox.vendure.answers import (
    Found,
    OrderWithFields,
    ShownLine,
    ShownOrder,
    ShownRefund,
    StockLevel,
    VariantStock,
)
from sandbox.vendure.graphql import REFUSAL, AnyAnswer, Created, GraphqlClient
from sandbox.vendure.money import money_of, units_of
from sandbox.vendure.placing import OrderPlacement

USERNAME = PASSWORD = "superadmin"  # noqa: S105  # of the sandbox
CANCELLATIONS_USERNAME = "cancellations@shop.example"
"""The administrator as whom the product logs in, who may do no more than it needs; with the same password."""

_TRANSITION = f"{REFUSAL} ... on FulfillmentStateTransitionError {{ transitionError }}"
_FULFILLMENT = "id state method trackingCode lines { orderLineId quantity }"
_ORDER = f"""
    id code state orderPlacedAt currencyCode totalWithTax shippingWithTax shipping
    customer {{ id emailAddress }}
    lines {{ id orderPlacedQuantity quantity proratedLinePriceWithTax proratedLinePrice productVariant {{ id sku name }} }}
    surcharges {{ description priceWithTax }}
    payments {{ id method amount state transactionId refunds {{ id state total transactionId paymentId }} }}
    fulfillments {{ {_FULFILLMENT} }}
"""


class SandboxVendure:
    """A Vendure at `url` (process.py). `plugin`: our plugin is part of it, and keeps labels, flags and sale conditions."""

    def __init__(self, url: str, *, plugin: bool) -> None:
        self.url = url
        self.plugin = plugin
        self._staff = GraphqlClient(self.admin_api)

    @property
    def admin_api(self) -> str:
        return f"{self.url}/admin-api"

    async def __aenter__(self) -> Self:
        await self.log_in()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._staff.__aexit__(kind, error, trace)

    async def log_in(self) -> None:
        await self._staff.log_in(USERNAME, PASSWORD)

    async def end_sessions(self) -> None:
        """Log everybody out, and staff in again."""
        await self._staff.send(AnyAnswer, "mutation { answer: endSessions { success } }")
        await self.log_in()

    # Customers

    async def place_order(self, order: Order, *, captured: bool = True) -> str:
        """Order these lines at these totals, paid by these tenders; returns the order's code. Ids of lines, tenders and
        customer are Vendure's own. Raises ShopRefused."""
        async with GraphqlClient(f"{self.url}/shop-api", order.currency) as visitor:
            placement = OrderPlacement(self._staff, visitor, order, plugin=self.plugin)
            order_id = await placement.place_order(captured=captured)
        if self.plugin and order.flags:
            await self._flag(order_id, order)
        placed = await self._staff.send(
            ShownOrder, f"query ($order: ID!) {{ answer: order(id: $order) {{ {_ORDER} }} }}", order=order_id
        )
        return placed.code

    async def _flag(self, order_id: str, order: Order) -> None:
        await self._staff.send(
            AnyAnswer,
            "mutation ($order: ID!, $fraud: Boolean!, $eu: Boolean!) { answer: setOrderCustomFields(input: { id: $order, "
            "customFields: { fraudReview: $fraud, euConsumer: $eu } }) { id } }",
            order=order_id,
            fraud=OrderFlag.FRAUD_REVIEW in order.flags,
            eu=OrderFlag.EU_CONSUMER in order.flags,
        )

    # What the shop shows

    async def read(self, code: str) -> ShownOrder:
        found = await self._staff.send(
            Found[ShownOrder],
            "query ($code: String!) { answer: orders(options: { filter: { code: { eq: $code } } }) "
            f"{{ items {{ {_ORDER} }} }} }}",
            code=code,
        )
        [order] = found.items
        return order

    async def read_holder(self, code: str) -> str | None:
        """The cancellation for which the plugin holds the order."""
        return (await self.read_custom_fields(code)).custom_fields.held_by

    async def read_custom_fields(self, code: str) -> OrderWithFields:
        found = await self._staff.send(
            Found[OrderWithFields],
            "query ($code: String!) { answer: orders(options: { filter: { code: { eq: $code } } }) { items { "
            "customFields { fraudReview euConsumer heldByCancellation } "
            "lines { productVariant { customFields { saleCondition } } } "
            "fulfillments { customFields { carrier labelReference } } } } }",
            code=code,
        )
        [fields] = found.items
        return fields

    async def read_stock(self, code: str, line_id: str) -> StockLevel:
        """The stock of the line's product."""
        line = await self._read_line(code, line_id)
        stock = await self._staff.send(
            VariantStock,
            "query ($variant: ID!) { answer: productVariant(id: $variant) { stockLevels { stockOnHand stockAllocated } } }",
            variant=line.variant.id,
        )
        [level] = stock.levels
        return level

    async def _read_line(self, code: str, line_id: str) -> ShownLine:
        return next(line for line in (await self.read(code)).lines if line.id == line_id)

    async def for_sale(self, code: str, line_id: str) -> int:
        return (await self.read_stock(code, line_id)).for_sale

    async def given_back(self, code: str) -> list[tuple[str, Money]]:
        """Each settled refund's reference and amount."""
        order = await self.read(code)
        return [
            (refund.reference or "", money_of(refund.total, order.currency))
            for payment in order.payments
            for refund in payment.refunds
            if refund.state == "Settled"
        ]

    # Staff

    async def take_out(self, code: str, line_id: str, units: int) -> None:
        await self._cancel(code, [{"orderLineId": line_id, "quantity": units}])

    async def cancel_order(self, code: str) -> None:
        """Cancel all that is left of the order, with the shipping charge."""
        await self._cancel(code, None)

    async def _cancel(self, code: str, lines: JsonValue) -> None:
        await self._staff.send(
            AnyAnswer,
            "mutation ($order: ID!, $lines: [OrderLineInput!], $shipping: Boolean!) { answer: cancelOrder(input: "
            '{ orderId: $order, lines: $lines, cancelShipping: $shipping, reason: "Asked for by phone" }) '
            f"{{ {REFUSAL} ... on OrderStateTransitionError {{ transitionError }} }} }}",
            order=(await self.read(code)).id,
            lines=lines,
            shipping=lines is None,
        )

    async def release(self, code: str, cancellation_id: str) -> None:
        """Release an order that the plugin holds for this cancellation."""
        await self._staff.send(
            AnyAnswer,
            "mutation ($order: ID!, $cancellation: String!) "
            "{ answer: releaseOrder(orderId: $order, cancellationId: $cancellation) { __typename } }",
            order=(await self.read(code)).id,
            cancellation=cancellation_id,
        )

    async def add_administrator(self, email: str, password: str, permissions: Sequence[str]) -> None:
        """A person or a program with these permissions in the shop."""
        channel = await self._staff.send(Created, "query { answer: activeChannel { id } }")
        role = await self._staff.send(
            Created,
            "mutation ($code: String!, $permissions: [Permission!]!, $channel: ID!) { answer: createRole(input: "
            '{ code: $code, description: "", permissions: $permissions, channelIds: [$channel] }) { id } }',
            code=email,
            permissions=list(permissions),
            channel=channel.id,
        )
        await self._staff.send(
            Created,
            "mutation ($email: String!, $password: String!, $role: ID!) { answer: createAdministrator(input: "
            '{ firstName: "Order", lastName: "cancellations", emailAddress: $email, password: $password, '
            "roleIds: [$role] }) { id } }",
            email=email,
            password=password,
            role=role.id,
        )

    async def begin_change(self, code: str) -> None:
        """Open the order for changes. It stays open while a higher price is not paid."""
        await self._move_order(code, "Modifying")

    async def end_change(self, code: str) -> None:
        """End the change of an order that costs what was paid."""
        await self._move_order(code, "PaymentSettled")

    async def end_change_by_payment(self, code: str, reference: str) -> None:
        """End the change of an order that costs more now: the customer has paid the rest by this payment."""
        await self._move_order(code, "ArrangingAdditionalPayment")
        await self._staff.send(
            AnyAnswer,
            "mutation ($input: ManualPaymentInput!) { answer: addManualPaymentToOrder(input: $input) "
            f"{{ {REFUSAL} }} }}",
            input={
                "orderId": (await self.read(code)).id,
                "method": "card",
                "transactionId": reference,
                "metadata": {},
            },
        )

    async def _move_order(self, code: str, state: str) -> None:
        await self._staff.send(
            AnyAnswer,
            "mutation ($order: ID!, $state: String!) { answer: transitionOrderToState(id: $order, state: $state) "
            f"{{ {REFUSAL} ... on OrderStateTransitionError {{ transitionError }} }} }}",
            order=(await self.read(code)).id,
            state=state,
        )

    async def add_units(self, code: str, line_id: str, units: int) -> None:
        """Add units to an order that is open for changes."""
        lines: list[JsonValue] = [
            {"orderLineId": line_id, "quantity": (await self._read_line(code, line_id)).quantity + units}
        ]
        await self._staff.send(
            AnyAnswer,
            "mutation ($order: ID!, $lines: [OrderLineInput!]!) { answer: modifyOrder(input: "
            f"{{ dryRun: false, orderId: $order, adjustOrderLines: $lines }}) {{ {REFUSAL} }} }}",
            order=(await self.read(code)).id,
            lines=lines,
        )

    async def capture(self, code: str) -> None:
        """Capture each payment that is only authorised."""
        for payment in (await self.read(code)).payments:
            if payment.state == "Authorized":
                await self._staff.send(
                    AnyAnswer,
                    "mutation ($payment: ID!) { answer: settlePayment(id: $payment) "
                    f"{{ {REFUSAL} ... on PaymentStateTransitionError {{ transitionError }} }} }}",
                    payment=payment.id,
                )

    async def refund(self, code: str, amount: Money) -> ShownRefund:
        """Refund a part of the first payment, in Vendure's own way."""
        payment, *_ = (await self.read(code)).payments
        return await self._staff.send(
            ShownRefund,
            "mutation ($payment: ID!, $amount: Money!) { answer: refundOrder(input: "
            "{ paymentId: $payment, amount: $amount, lines: [], shipping: 0, adjustment: 0 }) "
            f"{{ {REFUSAL} ... on Refund {{ id state total transactionId paymentId }} }} }}",
            payment=payment.id,
            amount=units_of(amount),
        )

    # The warehouse

    async def pack(self, code: str, parcel: Shipment) -> str:
        """Make a fulfilment, which is picked from then on; with a label it is ready for the carrier. Returns its id."""
        lines: list[JsonValue] = [{"orderLineId": line.line_id, "quantity": line.quantity} for line in parcel.lines]
        method = f"{parcel.carrier} {parcel.label_reference}" if parcel.label_reference else "pick"
        arguments: list[JsonValue] = [
            {"name": "method", "value": method},
            {"name": "trackingCode", "value": parcel.tracking_number or ""},
        ]
        made = await self._staff.send(
            Created,
            "mutation ($lines: [OrderLineInput!]!, $arguments: [ConfigArgInput!]!) { answer: "
            'addFulfillmentToOrder(input: { lines: $lines, handler: { code: "manual-fulfillment", arguments: $arguments } })'
            f" {{ {_TRANSITION} ... on Fulfillment {{ id }} }} }}",
            lines=lines,
            arguments=arguments,
        )
        if self.plugin and parcel.label_reference:
            await self.label(made.id, parcel)
        return made.id

    async def label(self, fulfillment_id: str, parcel: Shipment) -> None:
        """Record the parcel's label in the plugin's fields."""
        await self._staff.send(
            AnyAnswer,
            "mutation ($fulfillment: ID!, $carrier: String!, $label: String!, $tracking: String!) { answer: recordLabel("
            "fulfillmentId: $fulfillment, carrier: $carrier, labelReference: $label, trackingCode: $tracking) { id } }",
            fulfillment=fulfillment_id,
            carrier=parcel.carrier or "",
            label=parcel.label_reference or "",
            tracking=parcel.tracking_number or "",
        )

    async def ship(self, fulfillment_id: str) -> None:
        """Hand it over to the carrier."""
        await self.move_parcel(fulfillment_id, "Shipped")

    async def deliver(self, fulfillment_id: str) -> None:
        await self.move_parcel(fulfillment_id, "Delivered")

    async def move_parcel(self, fulfillment_id: str, state: str) -> None:
        """Raises ShopRefused."""
        await self._staff.send(
            AnyAnswer,
            "mutation ($fulfillment: ID!, $state: String!) { answer: transitionFulfillmentToState(id: $fulfillment, "
            f"state: $state) {{ {_TRANSITION} }} }}",
            fulfillment=fulfillment_id,
            state=state,
        )
