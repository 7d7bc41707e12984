"""A shop on Vendure: whether it has the plugin, its orders, and single changes of them."""

import time
from functools import partial
from typing import TypeVar

from pydantic import JsonValue

from domain.errors import ErrorCode, Refused, Unavailable
from domain.keys import EffectKey
from providers.orders.vendure import documents
from providers.orders.vendure.answers import ChangeResult, FoundOrders, FoundPlugin, Snapshot
from providers.orders.vendure.api import Answer, UnknownToSchema, VendureApi, VendureRefusal
from providers.orders.vendure.shared_reads import SharedReads

_ABSENT_SECONDS = 60.0
"""How long a plugin that was not found counts as absent before Vendure is asked again."""

_PLUGIN_VERSION = "1"
"""The first number of the versions of the plugin whose mutations are those of `documents`."""

_Data = TypeVar("_Data", bound=Answer)


class VendureShop:
    def __init__(self, api: VendureApi) -> None:
        self._api = api
        self._reads = SharedReads[Snapshot | None]()
        self._has_plugin = False
        self._ask_for_plugin_at = 0.0

    @property
    def url(self) -> str:
        return self._api.url

    async def aclose(self) -> None:
        await self._api.aclose()

    # Rule: A worker that has seen the plugin does nothing in Vendure without it
    async def has_plugin(self, *, ask_again: bool = False) -> bool:
        """`ask_again`: do not answer from what was found before. Raises Unavailable where the plugin was there and is gone:
        it may hold orders. Refused: PROVIDER_REJECTED_SETTINGS where its version is another."""
        if ask_again or (not self._has_plugin and time.monotonic() >= self._ask_for_plugin_at):
            try:
                found = await self._api.read(documents.PLUGIN, FoundPlugin, "looking for the plugin")
            except UnknownToSchema:
                if self._has_plugin:
                    raise _plugin_is_gone("looking for it") from None
                self._ask_for_plugin_at = time.monotonic() + _ABSENT_SECONDS
            else:
                _check_version(found.order_cancellation_plugin.version)
                self._has_plugin = True
        return self._has_plugin

    async def get(self, order_id: str) -> Snapshot:
        """Refused: ORDER_NOT_FOUND."""
        found = await self.find(order_id)
        if found is None:
            raise Refused(
                ErrorCode.ORDER_NOT_FOUND,
                f"Vendure has no placed order {order_id}. Check the order number and ask again.",
            )
        return found

    async def find(self, order_id: str) -> Snapshot | None:
        """None: there is no such order, or it was not placed yet."""
        return await self._reads.read(order_id, partial(self._find, order_id))

    async def _find(self, order_id: str) -> Snapshot | None:
        first = await self._read(order_id, 0)
        order = next((order for order in first.orders.items if order.code == order_id), None)
        if order is None or order.order_placed_at is None:
            return None
        history = order.history
        while len(history.items) < history.total_items:
            page = await self._read(order_id, len(history.items))
            more = next((found.history.items for found in page.orders.items), ())
            if not more:
                break
            history = history.model_copy(update={"items": (*history.items, *more)})
        return Snapshot(
            order=order.model_copy(update={"history": history}),
            placed_at=order.order_placed_at,
            language=first.active_channel.default_language_code,
            precision=first.global_settings.server_config.money_strategy_precision,
        )

    async def _read(self, order_id: str, skip: int) -> FoundOrders:
        doing = f"reading order {order_id}"
        document = documents.ORDER_WITH_PLUGIN if await self.has_plugin() else documents.ORDER
        try:
            return await self._api.read(document, FoundOrders, doing, code=order_id, skip=skip)
        except VendureRefusal as refusal:
            raise _other_api(doing, f": {str(refusal).rstrip('.')}") from None
        except UnknownToSchema:
            if self._has_plugin:
                await self.has_plugin(ask_again=True)
            raise _other_api(doing) from None

    async def change(
        self, document: str, model: type[_Data], doing: str, *, key: EffectKey, **variables: JsonValue
    ) -> _Data:
        """Make a change. Raises VendureRefusal, and Unavailable where the plugin is gone."""
        try:
            return await self._api.write(document, model, doing, cancellation_id=key.cancellation_id, **variables)
        except UnknownToSchema:
            if document not in documents.OF_PLUGIN:
                raise _other_api(doing) from None
            raise _plugin_is_gone(doing) from None

    async def cancel_fulfillment(self, order_id: str, fulfillment_id: str, *, key: EffectKey) -> None:
        """Raises VendureRefusal, also where it is cancelled already."""
        doing = f"cancelling fulfillment {fulfillment_id} of order {order_id}"
        answer = await self.change(documents.CANCEL_FULFILLMENT, ChangeResult, doing, key=key, id=fulfillment_id)
        if answer.result.error_code:
            raise VendureRefusal(answer.result.reason)


def _check_version(version: str) -> None:
    if version.split(".", maxsplit=1)[0] != _PLUGIN_VERSION:
        raise Refused(
            ErrorCode.PROVIDER_REJECTED_SETTINGS,
            f"Vendure has version {version} of this product's plugin, and version {_PLUGIN_VERSION} is needed. Ask whoever "
            "runs the shop to install the plugin that came with this product, then retry the step.",
        )


def _plugin_is_gone(doing: str) -> Unavailable:
    return Unavailable(
        f"Vendure does not have this product's plugin any more (noticed while {doing}), and orders may be held by it. Put "
        "it back; it is tried again. If it is gone for good, restart the workers."
    )


def _other_api(doing: str, why: str = "") -> Refused:
    return Refused(
        ErrorCode.PROVIDER_REJECTED_SETTINGS,
        "Vendure's Admin API differs from version 3.7, for which this product was written (noticed while "
        f"{doing}{why}). Ask whoever runs this product for an update, then retry the step.",
    )
