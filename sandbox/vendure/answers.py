"""What the shop's APIs show, as far as the sandbox and the tests read it. Amounts are in Vendure's units (money.py)."""

from datetime import datetime
from typing import Generic, TypeVar

from pydantic import Field

from domain.base import Value

T = TypeVar("T")


class Found(Value, Generic[T]):
    """A page of a list."""

    items: tuple[T, ...]


class ShownRefund(Value):
    id: str
    state: str
    total: int
    reference: str | None = Field(default=None, alias="transactionId")
    payment_id: str = Field(alias="paymentId")


class ShownPayment(Value):
    id: str
    method: str
    amount: int
    state: str
    reference: str | None = Field(default=None, alias="transactionId")
    refunds: tuple[ShownRefund, ...] = ()


class PackedUnits(Value):
    line_id: str = Field(alias="orderLineId")
    quantity: int


class ShownFulfillment(Value):
    id: str
    state: str
    method: str
    tracking_code: str | None = Field(default=None, alias="trackingCode")
    lines: tuple[PackedUnits, ...]


class ShownVariant(Value):
    id: str
    sku: str
    name: str


class CustomOrderFields(Value):
    """What the plugin adds to an order."""

    fraud_review: bool = Field(alias="fraudReview")
    eu_consumer: bool = Field(alias="euConsumer")
    held_by: str | None = Field(alias="heldByCancellation")


class CustomVariantFields(Value):
    sale_condition: str = Field(alias="saleCondition")


class CustomFulfillmentFields(Value):
    carrier: str | None
    label_reference: str | None = Field(alias="labelReference")


class _WithFields(Value, Generic[T]):
    custom_fields: T = Field(alias="customFields")


class _LineWithFields(Value):
    variant: _WithFields[CustomVariantFields] = Field(alias="productVariant")


class OrderWithFields(_WithFields[CustomOrderFields]):
    """An order with what the plugin adds to it, to its lines' variants and to its fulfilments."""

    lines: tuple[_LineWithFields, ...]
    fulfillments: tuple[_WithFields[CustomFulfillmentFields], ...]


class ShownLine(Value):
    """`placed` units were sold; `quantity` of them are left."""

    id: str
    placed: int = Field(alias="orderPlacedQuantity")
    quantity: int
    total: int = Field(alias="proratedLinePriceWithTax")
    net: int = Field(alias="proratedLinePrice")
    variant: ShownVariant = Field(alias="productVariant")

    @property
    def tax(self) -> int:
        return self.total - self.net


class ShownSurcharge(Value):
    description: str
    price: int = Field(alias="priceWithTax")


class ShownCustomer(Value):
    id: str
    email: str = Field(alias="emailAddress")


class ShownOrder(Value):
    id: str
    code: str
    state: str
    placed_at: datetime | None = Field(alias="orderPlacedAt")
    currency: str = Field(alias="currencyCode")
    total: int = Field(alias="totalWithTax")
    shipping: int = Field(alias="shippingWithTax")
    shipping_net: int = Field(alias="shipping")
    customer: ShownCustomer
    lines: tuple[ShownLine, ...]
    surcharges: tuple[ShownSurcharge, ...]
    payments: tuple[ShownPayment, ...]
    fulfillments: tuple[ShownFulfillment, ...]

    def line_of(self, sku: str) -> ShownLine:
        return next(line for line in self.lines if line.variant.sku == sku)

    @property
    def shipping_tax(self) -> int:
        return self.shipping - self.shipping_net


class StockLevel(Value):
    on_hand: int = Field(alias="stockOnHand")
    allocated: int = Field(alias="stockAllocated")

    @property
    def for_sale(self) -> int:
        return self.on_hand - self.allocated


class VariantStock(Value):
    levels: tuple[StockLevel, ...] = Field(alias="stockLevels")


class TaxCategory(Value):
    id: str
    name: str
