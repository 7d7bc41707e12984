"""A file of settings in TOML, for people."""

import tomllib
from collections.abc import Mapping
from pathlib import Path


def read_toml(path: Path) -> Mapping[str, object]:
    """Raises OSError, and ValueError that says what is wrong with the file and quotes nothing of it."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("write the file in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        at = str(error).rpartition("(")[2].rstrip(")")  # the rest may quote the file
        raise ValueError(f"it is no TOML {at}") from None
    except (ValueError, RecursionError):  # the parser's limits: its words may quote the file
        raise ValueError("a number is too long, or the brackets are too deep") from None
