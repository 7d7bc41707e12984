"""What the adapter asks Vendure's Admin API, in GraphQL."""

PLUGIN = "query { orderCancellationPlugin { version } }"

_ORDER = """
query ($code: String!, $skip: Int!) {
  orders(options: { filter: { code: { eq: $code } }, take: 1 }) {
    items {
      id
      code
      state
      nextStates
      orderPlacedAt
      currencyCode
      customer { id emailAddress }
      shippingAddress { countryCode }
      lines {
        id
        quantity
        orderPlacedQuantity
        unitPrice
        unitPriceWithTax
        proratedLinePrice
        proratedLinePriceWithTax
        productVariant {
          name
          sku
          facetValues { code }
          product { facetValues { code } }
          %(variant)s
        }
      }
      surcharges { price priceWithTax }
      shipping
      shippingWithTax
      payments { id method amount state transactionId refunds { state total transactionId metadata } }
      fulfillments {
        id
        state
        method
        trackingCode
        lines { orderLineId quantity }
        %(fulfillment)s
      }
      history(options: {
        filter: { type: { in: ["ORDER_CANCELLATION", "ORDER_FULFILLMENT_TRANSITION"] } }
        sort: { id: ASC }
        skip: $skip
        take: 100
      }) {
        totalItems
        items { type data }
      }
      %(order)s
    }
  }
  activeChannel { defaultLanguageCode }
  globalSettings { serverConfig { moneyStrategyPrecision } }
}
"""
ORDER = _ORDER % {"order": "", "variant": "", "fulfillment": ""}
ORDER_WITH_PLUGIN = _ORDER % {
    "order": "customFields { heldByCancellation fraudReview euConsumer }",
    "variant": "customFields { saleCondition }",
    "fulfillment": "customFields { carrier labelReference }",
}

CANCEL_ORDER = """
mutation ($input: CancelOrderInput!) {
  result: cancelOrder(input: $input) { ... on ErrorResult { errorCode message } }
}
"""
CANCEL_FULFILLMENT = """
mutation ($id: ID!) {
  result: transitionFulfillmentToState(id: $id, state: "Cancelled") {
    ... on ErrorResult { errorCode message }
    ... on FulfillmentStateTransitionError { transitionError }
  }
}
"""
ADD_FULFILLMENT = """
mutation ($input: FulfillOrderInput!) {
  result: addFulfillmentToOrder(input: $input) {
    ... on ErrorResult { errorCode message }
    ... on FulfillmentStateTransitionError { transitionError }
    ... on CreateFulfillmentError { fulfillmentHandlerError }
  }
}
"""

# Of the plugin (integrations/vendure)
HOLD_ORDER = """
mutation ($orderId: ID!, $cancellationId: String!) {
  result: holdOrder(orderId: $orderId, cancellationId: $cancellationId)
}
"""
RELEASE_ORDER = """
mutation ($orderId: ID!, $cancellationId: String!) {
  result: releaseOrder(orderId: $orderId, cancellationId: $cancellationId) { success }
}
"""
CLOSE_ORDER = """
mutation ($input: CloseOrderInput!) {
  result: closeOrder(input: $input) { id }
}
"""
NOTE_REFUNDS = """
mutation ($orderId: ID!, $cancellationId: String!, $refunds: [NotedRefundInput!]!) {
  result: noteRefunds(orderId: $orderId, cancellationId: $cancellationId, refunds: $refunds) { id }
}
"""
REPLACE_PAYMENT = """
mutation ($paymentId: ID!, $reference: String!) {
  result: replacePayment(paymentId: $paymentId, reference: $reference) { success }
}
"""
RECORD_LABEL = """
mutation ($fulfillmentId: ID!, $carrier: String!, $labelReference: String!, $trackingCode: String!) {
  result: recordLabel(
    fulfillmentId: $fulfillmentId, carrier: $carrier, labelReference: $labelReference, trackingCode: $trackingCode
  ) { id }
}
"""

OF_PLUGIN = frozenset({HOLD_ORDER, RELEASE_ORDER, CLOSE_ORDER, NOTE_REFUNDS, REPLACE_PAYMENT, RECORD_LABEL})
