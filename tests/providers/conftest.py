"""What the tests of the books and of the built-in systems share."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.providers.merchant import Merchant


@pytest.fixture
def merchant(database: AsyncEngine) -> Merchant:
    return Merchant.at(database)
