"""The conventions of a good command line: help, versions, widths, and failures that a program can read."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sandbox.serving import ROOT

NOBODY = "127.0.0.1:1"
"""Where no Temporal answers."""


def run(*args: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(ROOT / "starter.py"), *args],
        env={**os.environ, "TEMPORAL_ADDRESS": NOBODY, "COLUMNS": "80", **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("args", [("-h",), ("--help",), ()], ids=["-h", "--help", "no command"])
def test_help_is_given_where_it_is_looked_for(args: tuple[str, ...]) -> None:
    """P8"""
    said = run(*args)
    assert said.returncode == 0
    for command in ("start", "quote", "bulk", "status", "watch", "list", "approve", "reasons"):
        assert f"  {command} " in said.stdout
    assert max(map(len, said.stdout.splitlines())) <= 80


def test_each_command_has_its_help_within_80_columns() -> None:
    """P8"""
    for command in ("start", "quote", "bulk", "status", "watch", "result", "list", "approve", "resolve", "choose"):
        said = run(command, "-h")
        assert said.returncode == 0, command
        assert max(map(len, said.stdout.splitlines())) <= 80, command


def test_the_version_is_that_of_the_package() -> None:
    """P8"""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert run("--version").stdout == f"order-cancellation {version}\n"


@pytest.mark.parametrize("args", [("--version",), ("--help",), ("status", "O-1")], ids=" ".join)
def test_what_only_the_worker_and_the_api_need_is_not_loaded(args: tuple[str, ...]) -> None:
    said = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / "starter.py"), *args],
        env={**os.environ, "TEMPORAL_ADDRESS": NOBODY},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in said.stderr.splitlines()}
    assert {"client", "domain", "temporalio"} <= loaded
    ours = {"activities", "providers", "sandbox", "web", "workflows"}
    theirs = {
        "aiohttp",
        "easypost",
        "fastapi",
        "holidays",
        "jinja2",
        "pydantic_settings",
        "sqlalchemy",
        "stripe",
        "structlog",
    }
    assert not (ours | theirs) & loaded


@pytest.mark.parametrize(
    ("args", "code"),
    [(("status", "O-1", "--json"), 3), (("start", "O-1", "--json"), 2), (("status", "Jo Doe", "--json"), 2)],
    ids=["unreachable", "incomplete", "bad id"],
)
def test_a_failure_is_json_for_who_asked_for_json(args: tuple[str, ...], code: int) -> None:
    """P8: on standard error, so that standard output holds answers only."""
    said = run(*args)
    assert (said.returncode, said.stdout) == (code, "")
    error = json.loads(said.stderr)
    assert error["code"] == code
    assert error["sentence"].endswith(".")


def test_reasons_says_who_may_claim_what() -> None:
    """P8"""
    said = run("reasons")
    assert said.returncode == 0
    assert "suspected_fraud" in said.stdout
    of_risk = json.loads(run("reasons", "--json").stdout)["risk"]
    assert of_risk == ["payment_declined", "suspected_fraud", "confirmed_fraud", "other"]


def test_a_full_disk_is_said_in_a_sentence_with_a_code_of_its_own() -> None:
    """M34: not 1, which says that the order was not cancelled."""
    with Path("/dev/full").open("w") as full:
        said = subprocess.run(
            [sys.executable, str(ROOT / "starter.py"), "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert said.returncode == 7
    assert said.stderr.count("\n") == 1
    assert "No space left on device" in said.stderr
