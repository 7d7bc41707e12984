"""The merchant's rules, read from their file."""

from pathlib import Path

from pydantic import ValidationError

from domain.base import describe_validation_error
from domain.policy import Policy
from runtime.toml_file import read_toml


def load_policy(path: Path) -> Policy:
    """Read the policy file. What is misspelt in it is refused: it would be a rule that nobody follows. Raises ValueError
    that names the file and what is wrong with it."""
    try:
        return Policy.model_validate(read_toml(path), extra="forbid")
    except OSError as error:
        raise ValueError(f"The policy file {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        why = describe_validation_error(error) if isinstance(error, ValidationError) else error
        raise ValueError(f"The policy file {path} is not valid: {why}.") from None
