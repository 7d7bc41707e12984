"""Of the whole product; pyproject.toml has the same."""

VERSION = "0.1.0"
