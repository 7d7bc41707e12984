"""Fixtures live beside what they start: tests/fixtures/, one module per real part."""

from hypothesis import settings

settings.register_profile("faults", max_examples=2_000, deadline=None)

pytest_plugins = [
    "tests.fixtures.gateway",
    "tests.fixtures.carrier",
    "tests.fixtures.marketplace",
    "tests.fixtures.mail",
    "tests.fixtures.databases",
    "tests.fixtures.temporal",
    "tests.fixtures.recording",
    "tests.fixtures.system",
    "tests.fixtures.starter",
    "tests.fixtures.api",
]
