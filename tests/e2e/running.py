"""The demo as a process, and what it says."""

import asyncio
import re
import subprocess
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from pathlib import Path

from sandbox.serving import ROOT
from sandbox.stack import USUAL_PORT


async def start_demo(folder: Path, *options: str) -> Process:
    argv = ["-m", "sandbox.demo", "--folder", str(folder), *options]
    return await asyncio.create_subprocess_exec(sys.executable, *argv, cwd=ROOT, stdout=PIPE, stderr=STDOUT)


async def read_until(demo: Process, words: str) -> str:
    assert demo.stdout is not None
    seen = ""
    while words not in seen:
        line = await demo.stdout.readline()
        assert line, f"the demo ended before it said {words!r}:\n{seen}"
        seen += line.decode()
    return seen


def read_addresses(said: str) -> dict[str, str]:
    """Where everything is that stays, by the names that `make up` prints, and Temporal itself."""
    elsewhere = re.search(r"TEMPORAL_ADDRESS=(\S+)", said)
    printed = dict(re.findall(r"^(Temporal UI|HTTP API|Mails|Vendure)\s+(http://[\d.:]+)", said, re.MULTILINE))
    return {**printed, "Temporal": elsewhere[1] if elsewhere else f"127.0.0.1:{USUAL_PORT}"}


def children_of(pid: int) -> set[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
    return {int(child) for child, parent in map(str.split, listed.splitlines()) if int(parent) == pid}


def alive(pids: set[int]) -> set[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid="], check=True, capture_output=True, text=True).stdout
    return pids & set(map(int, listed.split()))
