"""What is and is not known of a shop on Vendure, by its plugin and by the file of VENDURE_FILE."""

from domain.findings import Finding, Subject
from providers.orders.vendure.shop_file import ShopFile

_KNOWN_WITHOUT_PLUGIN = {Subject.PICKS}
_NEVER_KNOWN = {Subject.GOODS_COMING_BACK}


def list_findings(shop_file: ShopFile, *, has_plugin: bool) -> tuple[Finding, ...]:
    return tuple(_with_plugin(subject) if has_plugin else _without_plugin(subject, shop_file) for subject in Subject)


def _with_plugin(subject: Subject) -> Finding:
    return Finding.of(subject, known=subject not in _NEVER_KNOWN)


def _without_plugin(subject: Subject, shop_file: ShopFile) -> Finding:
    by_file = {
        Subject.LABELS: shop_file.fulfillment_method is not None,
        Subject.SALE_CONDITIONS: bool(shop_file.conditions),
    }
    plain = Finding.of(subject, known=by_file.get(subject, subject in _KNOWN_WITHOUT_PLUGIN))
    if plain.known or subject in _NEVER_KNOWN:
        return plain
    match subject:
        case Subject.FLAGS if shop_file.eu_consumer_countries:
            sentence = (
                "Consumers of the European Union are known by the country, and fraud reviews are not known: no order counts "
                "as under review."
            )
        case Subject.STOCK:
            sentence = (
                "If part of a line has been shipped, cancelling the rest makes Vendure's stock too high by up to the number "
                "shipped (of 10 on hand 3 sold, 2 shipped, 1 cancelled: Vendure says 9, there are 8). Count it."
            )
        case _:
            sentence = plain.sentence
    or_by_file = ", or describe them in the file of VENDURE_FILE" if subject in by_file else ""
    return plain.model_copy(update={"sentence": f"{sentence} Add the plugin for Vendure to change that{or_by_file}."})
