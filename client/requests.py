"""Requests from what people give: options of a command, lines of a file. What is wrong with one is said in a sentence."""

from collections.abc import Sequence
from hashlib import sha256

from domain.request import Actor, ActorKind, CancellationRequest, Channel, LineScope, ReasonCode


def new_request(
    order_id: str,
    *,
    actor: Actor,
    channel: Channel,
    reason: ReasonCode,
    note: str = "",
    customer_id: str | None = None,
    lines: Sequence[LineScope] = (),
    shipping: bool = False,
    request_id: str | None = None,
) -> CancellationRequest:
    """A request of `actor`. Without a request id it gets one from its content: asking twice for the same is one request.
    A customer asks for their own order. Raises ValidationError."""
    request = CancellationRequest(
        request_id=request_id or "derived",
        order_id=order_id,
        customer_id=customer_id or (actor.id if actor.kind is ActorKind.CUSTOMER else None),
        actor=actor,
        channel=channel,
        reason=reason,
        note=note,
        lines=tuple(lines),
        shipping=shipping,
    )
    if request_id:
        return request
    # Without what is left at its default, so that a field that comes later does not make another request of it.
    content = request.model_copy(update={"request_id": ""}).model_dump_json(exclude_defaults=True)
    return request.model_copy(update={"request_id": f"req-{sha256(content.encode()).hexdigest()[:12]}"})


# Rule: A request that is sent again is the same update
def update_id_of(request: CancellationRequest) -> str:
    """The id under which a request is sent: a repetition is the same update, so a run takes it once."""
    content = request.model_dump_json(exclude_defaults=True)
    return f"{request.request_id}/{sha256(content.encode()).hexdigest()[:12]}"
