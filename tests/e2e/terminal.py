"""A command in a terminal of its own, of so many columns: what is shown there."""

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Mapping
from contextlib import suppress

from sandbox.serving import ROOT

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_UNIT = re.compile(r"\d{4}-\d\d-\d\d +\d\d:\d\d:\d\d|\S+")
ENGLISH, GERMAN = "en_US.UTF-8", "de_DE.UTF-8"
_WIDE = 400

LOOKS = (
    "list",
    "status 3001",
    "status 3004",
    "status 3005",
    "watch 1015",
    "result 1020",
    "quote 2016 --actor customer:C-2016 --reason no_longer_needed",
    "quote 1003 --actor customer:C-1003 --reason no_longer_needed",
    "status 9999",
    "list --state waiting",
    "reasons",
)
"""Commands that change nothing, with an answer of each kind."""


def show(argv: list[str], columns: int, environment: Mapping[str, str]) -> str:
    outside, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = os.posix_spawn(
        argv[0],
        argv,
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, inside, stream) for stream in (0, 1, 2)],
    )
    os.close(inside)
    said = b""
    with suppress(OSError):  # the other end is closed
        while part := os.read(outside, 65536):
            said += part
    os.close(outside)
    os.waitpid(process, 0)
    return _CONTROL.sub("", said.decode().replace("\r", "\n"))  # `watch` draws anew over what it has drawn


def _units(shown: str) -> set[str]:
    """Words and dates; what continues a command in the next line is neither."""
    return {*_UNIT.findall(shown)} - {"\\"}


async def find_broken(temporal: str, columns: int) -> list[str]:
    """What of the command line's answers is too long for the terminal, or broken within a word or a date."""
    broken = []
    for language in (ENGLISH, GERMAN):
        environment = {**os.environ, "TERM": "xterm", "TEMPORAL_ADDRESS": temporal, "LANG": language}
        for name in ("COLUMNS", "LANGUAGE", "LC_ALL", "LC_MESSAGES"):
            environment.pop(name, None)
        for look in LOOKS:
            argv = [sys.executable, str(ROOT / "starter.py"), *look.split()]
            narrow, wide = await asyncio.gather(
                *(asyncio.to_thread(show, argv, width, environment) for width in (columns, _WIDE))
            )
            # A command of a refusal is in one line, however long the path to Python is.
            fits = all(len(line) <= columns or line.startswith(sys.executable) for line in narrow.splitlines())
            if not fits or _units(narrow) != _units(wide):
                broken.append(f"{language} {look}\n{narrow}")
    return broken
