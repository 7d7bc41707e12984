"""The merchant's rules, read from their file."""

import tomllib
from pathlib import Path

from pydantic import ValidationError

from domain.base import describe_validation_error
from domain.policy import Policy


def load_policy(path: Path) -> Policy:
    """Read the policy file. What is misspelt in it is refused: it would be a rule that nobody follows. Raises ValueError
    that names the file and what is wrong with it."""
    try:
        return Policy.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")), extra="forbid")
    except OSError as error:
        raise ValueError(f"The policy file {path} cannot be read: {error.strerror}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"The policy file {path} is not valid: {error}.") from None
    except ValidationError as error:
        raise ValueError(f"The policy file {path} is not valid: {describe_validation_error(error)}.") from None
