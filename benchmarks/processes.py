"""What the operating system says of processes and of the machine. Linux: it is read from /proc."""

import os
import platform
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from domain.base import Value

_TICK = os.sysconf("SC_CLK_TCK")
_PACKAGES = ("temporalio", "sqlalchemy", "pydantic", "stripe", "easypost")


@dataclass(frozen=True)
class Usage:
    """Of one process with all its threads. `cpu` in seconds since its start, in steps of a hundredth; `memory` and `peak`
    are its resident set, now and at its largest, in bytes."""

    cpu: float
    memory: int
    peak: int


def usage_of(pid: int) -> Usage:
    """Raises OSError when there is no such process."""
    folder = Path("/proc") / str(pid)
    # The second field is the program's name in brackets and may hold anything; user and system time are fields 14 and 15.
    fields = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    status = (folder / "status").read_text(encoding="utf-8", errors="replace")
    return Usage(
        cpu=(int(fields[11]) + int(fields[12])) / _TICK, memory=_kib(status, "VmRSS"), peak=_kib(status, "VmHWM")
    )


def _kib(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    assert found, name
    return int(found[1]) * 1024


class Machine(Value):
    cpu: str
    cores: int
    system: str
    python: str
    temporal_server: str
    sqlite: str
    packages: Mapping[str, str]

    @classmethod
    def this(cls, temporal_server: str) -> "Machine":
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        model = re.search(r"^model name\s*: (.+)$", info, re.MULTILINE)
        return cls(
            cpu=model[1] if model else platform.machine(),
            cores=len(os.sched_getaffinity(0)),
            system=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
            temporal_server=temporal_server,
            sqlite=sqlite3.sqlite_version,
            packages={name: version(name) for name in _PACKAGES},
        )
