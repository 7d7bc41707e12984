"""The parts of keys: what names each further call of a step after the dot, such as `can-1/stop_shipment/S1/1.pick`
(domain/keys.py). The books and the providers remember them, so none is ever changed.

Two steps may use the same part, because the step stands in the key as well.
"""

# In the order management system

THAW = "thaw"
"""By a step that is not `release_order`: what a late attempt has frozen, or an order that a person has closed, goes on."""
GIVEN_BACK = "given_back"

# Of a shipment, to stop it and to let it go on. A carrier is given the key without its part: no two of these calls can be
# taken for each other there.

# Rule: An idempotency key has this form [its parts, with the names around it]
PICK = "pick"
GIFT_CARD = "gift_card"
VOID_LABEL = "void"
INTERCEPT = "intercept"
NEW_LABEL = "label"
RELABEL = "relabel"

# Of a tender

VOID = "void"
"""A step may void what is reserved and refund what was captured. The refund has the key without a part."""
AUTHORISE = "authorise"
PAYMENT = "payment"
"""The order names the payment that was authorised in place of the voided one."""


def take_back_balance(n: int) -> str:
    """Take back what the n-th key of the step that is being undone has put on a balance."""
    return f"balance{n}"


def cancel_refund(n: int) -> str:
    """Cancel the refund that was made under the n-th key of the step that is being undone."""
    return f"cancel{n}"


def close_again(times_closed: int) -> str:
    """Each further close of an order is an effect of its own; the first one has no part."""
    return f"again{times_closed}" if times_closed else ""
