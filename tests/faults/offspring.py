"""Run a module as a command, and leave no process behind that it has started, whatever becomes of it.

python -m tests.faults.offspring PARENT MODULE [ARGUMENT …]

When the module is over, everything that it has left running is ended. On SIGTERM, and when the process PARENT, which has
started this one, is no more, the module is stopped first. The exit code is the module's, or CRASHED after an error.
"""

import contextlib
import ctypes
import os
import runpy
import signal
import sys
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import NoReturn

CRASHED = 70
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)
_STOPS_WITHIN, _ENDS_WITHIN = 60.0, 5.0


class _Stopped(BaseException):
    """By whoever has started this, or because that is no more."""


def _stop(_: int, __: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Stopped


def _set(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def read_offspring(pid: int) -> list[int]:
    """Processes that come from this one, and whose parents are either alive or have left them to it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if entry.name.isdecimal():
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    ancestors = [pid]
    while ancestors:
        mine = children.get(ancestors.pop(), [])
        found += mine
        ancestors += mine
    return found


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _end_offspring() -> None:
    """Those that do not end when they are asked to are killed. One that is paused goes on first, and so hears of it."""
    asked: set[int] = set()
    until = time.monotonic() + _ENDS_WITHIN
    while left := read_offspring(os.getpid()):
        for pid in left:
            if time.monotonic() > until:
                _send(pid, signal.SIGKILL)
            elif pid not in asked:
                asked.add(pid)
                _send(pid, signal.SIGTERM)
                _send(pid, signal.SIGCONT)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.05)


def _wait_for(child: int) -> int:
    """Its exit code. Whoever else ends meanwhile, and was left to this process, is seen off."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == child:
            return os.waitstatus_to_exitcode(status)


def _stop_child(child: int) -> None:
    """As by Ctrl-C: it stops what it has started itself."""
    _send(child, signal.SIGINT)
    until = time.monotonic() + _STOPS_WITHIN
    while time.monotonic() < until:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(child, os.WNOHANG)[0] == child:
                return
        time.sleep(0.05)


def _run_module(module: str, arguments: list[str]) -> None:
    _set(_PR_SET_PDEATHSIG, signal.SIGINT)
    sys.argv[1:] = arguments
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except Exception:  # noqa: BLE001 - whatever it is, whoever has started this learns that it was no result
        traceback.print_exc()
        sys.exit(CRASHED)


def main() -> int:
    parent, module, *arguments = sys.argv[1:]
    signal.signal(signal.SIGTERM, _stop)
    _set(_PR_SET_CHILD_SUBREAPER, 1)
    _set(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        return CRASHED  # it has ended already
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
        _run_module(module, arguments)
        return 0
    try:
        code = _wait_for(child)
    except _Stopped:
        _stop_child(child)
        code = CRASHED
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _end_offspring()
    return code if code >= 0 else CRASHED


if __name__ == "__main__":
    sys.exit(main())
