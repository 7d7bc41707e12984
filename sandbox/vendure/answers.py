"""What the shop's APIs answer, as far as somebody asks for it here. Amounts are in Vendure's units (money.py)."""

from datetime import datetime
from typing import Generic, TypeVar

from pydantic import Field

from domain.base import Value

T = TypeVar("T")


class Found(Value, Generic[T]):
    """A page of a list."""

    items: tuple[T, ...]


class VendureRefund(Value):
    id: str
    state: str
    total: int
    reference: str | None = Field(default=None, alias="transactionId")
    payment_id: str = Field(alias="paymentId")


class VendurePayment(Value):
    id: str
    method: str
    amount: int
    state: str
    reference: str | None = Field(default=None, alias="transactionId")
    refunds: tuple[VendureRefund, ...] = ()


class PackedLine(Value):
    line_id: str = Field(alias="orderLineId")
    quantity: int


class VendureFulfillment(Value):
    id: str
    state: str
    method: str
    tracking_code: str | None = Field(default=None, alias="trackingCode")
    lines: tuple[PackedLine, ...]


class VendureVariant(Value):
    id: str
    sku: str
    name: str


class PluginsOrder(Value):
    """The plugin's fields of an order."""

    fraud_review: bool = Field(alias="fraudReview")
    eu_consumer: bool = Field(alias="euConsumer")
    held_by: str | None = Field(alias="heldByCancellation")


class PluginsVariant(Value):
    sale_condition: str = Field(alias="saleCondition")


class PluginsFulfillment(Value):
    carrier: str | None
    label_reference: str | None = Field(alias="labelReference")


class _Fields(Value, Generic[T]):
    fields: T = Field(alias="customFields")


class _PluginsLine(Value):
    variant: _Fields[PluginsVariant] = Field(alias="productVariant")


class PluginsFields(_Fields[PluginsOrder]):
    """What the plugin keeps of an order, its lines' variants and its fulfilments."""

    lines: tuple[_PluginsLine, ...]
    fulfillments: tuple[_Fields[PluginsFulfillment], ...]


class VendureLine(Value):
    """`placed` units were sold; `quantity` of them are left."""

    id: str
    placed: int = Field(alias="orderPlacedQuantity")
    quantity: int
    total: int = Field(alias="proratedLinePriceWithTax")
    net: int = Field(alias="proratedLinePrice")
    variant: VendureVariant = Field(alias="productVariant")

    @property
    def tax(self) -> int:
        return self.total - self.net


class VendureSurcharge(Value):
    description: str
    price: int = Field(alias="priceWithTax")


class VendureCustomer(Value):
    id: str
    email: str = Field(alias="emailAddress")


class VendureOrder(Value):
    id: str
    code: str
    state: str
    placed_at: datetime | None = Field(alias="orderPlacedAt")
    currency: str = Field(alias="currencyCode")
    total: int = Field(alias="totalWithTax")
    shipping: int = Field(alias="shippingWithTax")
    shipping_net: int = Field(alias="shipping")
    customer: VendureCustomer
    lines: tuple[VendureLine, ...]
    surcharges: tuple[VendureSurcharge, ...]
    payments: tuple[VendurePayment, ...]
    fulfillments: tuple[VendureFulfillment, ...]

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
