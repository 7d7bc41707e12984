"""How a process ends that has used Temporal's client."""

import contextlib
import os
import sys
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """End with `code`. The client has threads that may abort the interpreter while it shuts down, long after all work was
    done; so that the exit code stays what it means, the process ends without that."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    os._exit(code)
