"""What Vendure does not tell by itself, from the file that VENDURE_FILE names."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from domain.base import describe_validation_error
from domain.country import Country
from domain.order import SaleCondition, TenderKind
from runtime.toml_file import read_toml

_GROUPS = {"carrier", "label"}


def _check_pattern(text: str) -> str:
    try:
        groups = re.compile(text).groupindex
    except re.error:
        raise ValueError("it is no regular expression") from None
    if not groups or set(groups) - _GROUPS:
        raise ValueError("name the groups (?P<carrier>…), (?P<label>…), or both, and no others")
    return text


class ShopFile(BaseModel):
    """`payment_methods`: the kind of tender by the code of a payment method; others are cards. `fulfillment_method`: a
    regular expression on what the warehouse writes as the method of a fulfillment, with the groups `carrier` and `label`.
    `pick_handler`: the code of the handler that packs a resumed pick. `conditions`: by codes of facet values.
    `eu_consumer_countries`: an order that is delivered there is of a consumer of the European Union."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    payment_methods: Mapping[str, TenderKind] = {}
    fulfillment_method: Annotated[str, AfterValidator(_check_pattern)] | None = None
    pick_handler: str = "manual-fulfillment"
    conditions: Mapping[str, SaleCondition] = {}
    eu_consumer_countries: frozenset[Country] = frozenset()


def load_shop_file(path: Path | None) -> ShopFile:
    """Raises ValueError that names the file and what is wrong with it. `path` None: the defaults."""
    if path is None:
        return ShopFile()
    try:
        return ShopFile.model_validate(read_toml(path))
    except OSError as error:
        raise ValueError(f"The file of VENDURE_FILE ({path}) cannot be read: {error.strerror}.") from None
    except ValueError as error:
        why = describe_validation_error(error) if isinstance(error, ValidationError) else error
        raise ValueError(f"The file of VENDURE_FILE ({path}) is not valid: {why}.") from None
