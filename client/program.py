"""The command line, as this process can name it to a person."""

import shlex
import shutil
import sys
from pathlib import Path

_CHECKOUT, _INSTALLED = "starter.py", "order-cancellation"


# Rule: A hint names the command line as it was called
def own_command(*words: str) -> str:
    """One of our commands, to be pasted into a shell as it is."""
    return " ".join((*_program(), *map(shlex.quote, words)))


def _program() -> tuple[str, ...]:
    """As it was called; in a process that is not the command line, as it is called where it is installed."""
    called = Path(sys.argv[0])
    if called.name == _CHECKOUT:
        return tuple(map(shlex.quote, sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]))
    if called.stem == _INSTALLED:
        found = shutil.which(_INSTALLED)
        if found is None or not called.exists() or not called.samefile(found):
            return (shlex.quote(sys.argv[0]),)
    return (_INSTALLED,)
