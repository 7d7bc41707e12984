"""A visitor of the shop orders exactly what is asked for, through the Shop API. Products, tax rates and shipping
methods that it lacks are made first."""

from pydantic import JsonValue

from domain.base import Value
from domain.money import Money
from domain.order import Order, OrderLine, Tender, TenderKind
from sandbox.vendure.answers import Found, ShownVariant, TaxCategory
from sandbox.vendure.graphql import REFUSAL, AnyAnswer, Created, GraphqlClient, ShopRefused
from sandbox.vendure.money import tax_rate_of, units_of

UNITS_IN_STOCK = 100
"""Of a product when it is made."""

_TAX_RATES = (19, 20, 7, 0)
_METHODS = {TenderKind.CARD: "card", TenderKind.GIFT_CARD: "gift-card", TenderKind.STORE_CREDIT: "store-credit"}


class _Paid(Value):
    state: str


class OrderPlacement:
    """One order. `shop` is the API as a visitor of the shop sees it; `staff` makes what the shop lacks. `plugin`: it keeps
    conditions of sale."""

    def __init__(self, staff: GraphqlClient, shop: GraphqlClient, order: Order, *, plugin: bool) -> None:
        self._staff = staff
        self._shop = shop
        self._order = order
        self._plugin = plugin

    async def place_order(self, *, captured: bool) -> str:
        """Returns the id of the order."""
        for line in self._order.lines:
            await self._add_line(line)
        order_id = (await self._shop.send(Created, "query { answer: activeOrder { id } }")).id
        await self._set_customer_and_address()
        await self._set_shipping_method()
        if self._order.discount:
            await self._staff.send(
                AnyAnswer,
                "mutation ($order: ID!, $amount: Money!) { answer: addSurcharge(orderId: $order, "
                'description: "Discount on the order", amountWithTax: $amount) { success } }',
                order=order_id,
                amount=-units_of(self._order.discount),
            )
        await self._shop.send(
            AnyAnswer,
            f'mutation {{ answer: transitionOrderToState(state: "ArrangingPayment") {{ {REFUSAL} '
            "... on OrderStateTransitionError { transitionError } } }",
        )
        states = [await self._pay(tender, captured=captured) for tender in self._order.tenders]
        if states[-1:] == ["ArrangingPayment"]:
            raise ShopRefused(
                f"The tenders of order {self._order.order_id} are less than its total, so it is not paid."
            )
        await self._staff.send(
            AnyAnswer,
            "mutation ($order: ID!, $at: DateTime!) { answer: setOrderPlacedAt(orderId: $order, at: $at) { success } }",
            order=order_id,
            at=self._order.placed_at.isoformat(),
        )
        return order_id

    async def _add_line(self, line: OrderLine) -> None:
        """A product has one price in an order, so a line that costs less than its units has a discount."""
        same_product = [other for other in self._order.lines if other.sku == line.sku]
        price = max(-(-other.total.amount // other.quantity) for other in same_product)
        unit = Money(amount=price, currency=self._order.currency)
        discount = units_of(unit) * line.quantity - units_of(line.total)
        fields: dict[str, JsonValue] = {"discount": discount} if discount else {}
        if len(same_product) > 1:
            fields["engraving"] = line.line_id  # Vendure makes one line of what does not differ
        await self._shop.send(
            AnyAnswer,
            "mutation ($variant: ID!, $quantity: Int!, $fields: OrderLineCustomFieldsInput) { answer: addItemToOrder("
            f"productVariantId: $variant, quantity: $quantity, customFields: $fields) {{ {REFUSAL} }} }}",
            variant=await self._prepare_variant(line, unit),
            quantity=line.quantity,
            fields=fields,
        )

    async def _prepare_variant(self, line: OrderLine, unit: Money) -> str:
        """Returns the id of the variant with this SKU, once it has this price and this tax."""
        variant = await self._find_variant(line.sku) or await self._make_product(line)
        await self._staff.send(
            tuple[Created, ...],
            "mutation ($variant: ID!, $tax: ID!, $currency: CurrencyCode!, $price: Money!) { answer: "
            "updateProductVariants(input: [{ id: $variant, taxCategoryId: $tax, "
            "prices: [{ currencyCode: $currency, price: $price }] }]) { id } }",
            variant=variant,
            tax=await self._prepare_tax_category(units_of(line.total), units_of(line.tax)),
            currency=self._order.currency,
            price=units_of(unit),
        )
        if self._plugin:
            await self._staff.send(
                tuple[Created, ...],
                "mutation ($variant: ID!, $condition: String!) { answer: updateProductVariants(input: [{ id: $variant, "
                "customFields: { saleCondition: $condition } }]) { id } }",
                variant=variant,
                condition=line.condition.value,
            )
        return variant

    async def _find_variant(self, sku: str) -> str | None:
        found = await self._staff.send(
            Found[ShownVariant],
            "query ($sku: String!) { answer: productVariants(options: { filter: { sku: { eq: $sku } } }) "
            "{ items { id sku name } } }",
            sku=sku,
        )
        return found.items[0].id if found.items else None

    async def _make_product(self, line: OrderLine) -> str:
        texts: list[JsonValue] = [
            {"languageCode": "en", "name": line.title, "slug": line.sku.lower(), "description": ""}
        ]
        product = await self._staff.send(
            Created,
            "mutation ($texts: [ProductTranslationInput!]!) { answer: createProduct(input: "
            "{ translations: $texts, enabled: true }) { id } }",
            texts=texts,
        )
        names: list[JsonValue] = [{"languageCode": "en", "name": line.title}]
        [variant] = await self._staff.send(
            tuple[Created, ...],
            "mutation ($product: ID!, $sku: String!, $names: [ProductVariantTranslationInput!]!, $stock: Int!) { answer: "
            "createProductVariants(input: [{ productId: $product, sku: $sku, translations: $names, stockOnHand: $stock, "
            "trackInventory: TRUE }]) { id } }",
            product=product.id,
            sku=line.sku,
            names=names,
            stock=UNITS_IN_STOCK,
        )
        return variant.id

    async def _prepare_tax_category(self, gross: int, tax: int) -> str:
        rate = tax_rate_of(gross, tax, _TAX_RATES)
        name = f"{rate.normalize():f} %"
        found = await self._staff.send(
            Found[TaxCategory],
            "query { answer: taxCategories(options: { take: 1000 }) { items { id name } } }",
        )
        for category in found.items:
            if category.name == name:
                return category.id
        made = await self._staff.send(
            Created,
            "mutation ($name: String!) { answer: createTaxCategory(input: { name: $name }) { id } }",
            name=name,
        )
        zones = await self._staff.send(Found[Created], "query { answer: zones { items { id } } }")
        for zone in zones.items:
            await self._staff.send(
                AnyAnswer,
                "mutation ($name: String!, $rate: Float!, $category: ID!, $zone: ID!) { answer: createTaxRate(input: "
                "{ name: $name, enabled: true, value: $rate, categoryId: $category, zoneId: $zone }) { id } }",
                name=name,
                rate=float(rate),
                category=made.id,
                zone=zone.id,
            )
        return made.id

    async def _set_customer_and_address(self) -> None:
        contact = self._order.contact
        await self._shop.send(
            AnyAnswer,
            'mutation ($email: String!) { answer: setCustomerForOrder(input: { firstName: "Anna", lastName: "Customer", '
            f"emailAddress: $email }}) {{ {REFUSAL} }} }}",
            email=contact.email if contact else f"{self._order.customer_id.lower()}@customer.example",
        )
        await self._shop.send(
            AnyAnswer,
            'mutation ($country: String!) { answer: setOrderShippingAddress(input: { fullName: "Anna Customer", '
            'streetLine1: "1 High Street", city: "Town", postalCode: "12345", countryCode: $country }) '
            f"{{ {REFUSAL} }} }}",
            country=self._order.country or "DE",
        )

    async def _set_shipping_method(self) -> None:
        """Choose a method that costs as much as the order's shipping."""
        charge = units_of(self._order.shipping)
        tax = units_of(self._order.shipping_tax) if self._order.shipping_tax else 0
        rate = tax_rate_of(charge, tax, _TAX_RATES)
        code = f"flat-{charge}-{rate.normalize():f}"
        found = await self._staff.send(
            Found[Created],
            "query ($code: String!) { answer: shippingMethods(options: { filter: { code: { eq: $code } } }) "
            "{ items { id } } }",
            code=code,
        )
        method = found.items[0].id if found.items else await self._make_shipping_method(code, charge, f"{rate:f}")
        await self._shop.send(
            AnyAnswer,
            f"mutation ($method: ID!) {{ answer: setOrderShippingMethod(shippingMethodId: [$method]) {{ {REFUSAL} }} }}",
            method=method,
        )

    async def _make_shipping_method(self, code: str, charge: int, rate: str) -> str:
        price: list[JsonValue] = [
            {"name": "rate", "value": str(charge)},
            {"name": "taxRate", "value": rate},
            {"name": "includesTax", "value": "include"},
        ]
        made = await self._staff.send(
            Created,
            "mutation ($code: String!, $price: [ConfigArgInput!]!) { answer: createShippingMethod(input: { code: $code, "
            'fulfillmentHandler: "manual-fulfillment", '
            'translations: [{ languageCode: en, name: "Standard shipping", description: "" }], '
            'checker: { code: "default-shipping-eligibility-checker", arguments: [{ name: "orderMinimum", value: "0" }] }, '
            'calculator: { code: "default-shipping-calculator", arguments: $price } }) { id } }',
            code=code,
            price=price,
        )
        return made.id

    async def _pay(self, tender: Tender, *, captured: bool) -> str:
        """Returns the state of the order afterwards."""
        metadata: dict[str, JsonValue] = {
            "reference": tender.reference,
            "amount": units_of(tender.amount),
            "capturable": not captured,
        }
        paid = await self._shop.send(
            _Paid,
            "mutation ($method: String!, $metadata: JSON!) { answer: addPaymentToOrder(input: { method: $method, "
            f"metadata: $metadata }}) {{ {REFUSAL} ... on Order {{ state }} "
            "... on OrderStateTransitionError { transitionError } } }",
            method=_METHODS[tender.kind],
            metadata=metadata,
        )
        return paid.state
