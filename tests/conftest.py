"""Fixtures live beside what they start: tests/fixtures/, one module per real part."""

import os

import pytest
from hypothesis import settings

from runtime import plugin

os.environ["LANGUAGE"] = "en"  # of what the tests start; those of another language say so

settings.register_profile("tests", deadline=None)  # a busy machine is no failure
settings.register_profile("faults", max_examples=2_000, deadline=None)
settings.load_profile("tests")

pytest.register_assert_rewrite(
    "tests.providers.orders_contract",
    "tests.providers.closing_contract",
    "tests.providers.parcels_contract",
    "tests.providers.stored_value_contract",
)

pytest_plugins = [
    "tests.fixtures.specifications",
    "tests.fixtures.breakers",
    "tests.fixtures.rounds",
    "tests.fixtures.gateway",
    "tests.fixtures.carrier",
    "tests.fixtures.marketplace",
    "tests.fixtures.mail",
    "tests.fixtures.databases",
    "tests.fixtures.oscar",
    "tests.fixtures.temporal",
    "tests.fixtures.recording",
    "tests.fixtures.system",
    "tests.fixtures.workers",
    "tests.fixtures.starter",
    "tests.fixtures.api",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full-sandbox", action="store_true", help="the process is read inside of the workflow sandbox")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--full-sandbox"):
        plugin.PROCESS = (
            "workflows.continuing",
        )  # tests make a history long sooner, which a module read anew would not see
