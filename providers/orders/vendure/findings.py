"""What is and is not known of a shop on Vendure, by its plugin and by the file of VENDURE_FILE."""

from domain.findings import Finding, Subject
from providers.orders.vendure.shop_file import ShopFile

_KNOWN_WITHOUT = {Subject.PICKS}
_NEVER_KNOWN = {Subject.GOODS_COMING_BACK}
_ADD_PLUGIN = "Add the plugin of this product to Vendure"


def list_findings(shop: ShopFile, *, has_plugin: bool) -> tuple[Finding, ...]:
    return tuple(_with_plugin(subject) if has_plugin else _without(subject, shop) for subject in Subject)


def _with_plugin(subject: Subject) -> Finding:
    return Finding.of(subject, known=subject not in _NEVER_KNOWN)


def _without(subject: Subject, shop: ShopFile) -> Finding:
    by_file = {
        Subject.LABELS: shop.fulfillment_method is not None,
        Subject.SALE_CONDITIONS: bool(shop.conditions),
    }
    plain = Finding.of(subject, known=by_file.get(subject, subject in _KNOWN_WITHOUT))
    match subject:
        case Subject.FLAGS if shop.eu_consumer_countries:
            sentence = (
                "Consumers of the European Union are known by the country, and fraud reviews are not known: no order counts "
                f"as under review. {_ADD_PLUGIN} to have them."
            )
        case Subject.STOCK:
            sentence = (
                "Where units of a line have left, cancelling others of it counts as many of them as on hand: count that "
                f"stock after such a close. {_ADD_PLUGIN} to have it right."
            )
        case Subject.CLOSES_AT_ONCE:
            sentence = (
                "Two workers that close an order at once may both have an effect: look at the order after a close that was "
                f"repeated. {_ADD_PLUGIN} to exclude that."
            )
        case Subject.LABELS | Subject.SALE_CONDITIONS if not plain.known:
            sentence = f"{plain.sentence} {_ADD_PLUGIN}, or describe them in the file of VENDURE_FILE."
        case Subject.FREEZING | Subject.FLAGS | Subject.GIVEN_BACK | Subject.REPLACED_PAYMENTS:
            sentence = f"{plain.sentence} {_ADD_PLUGIN} to change that."
        case _:
            return plain
    return plain.model_copy(update={"sentence": sentence})
