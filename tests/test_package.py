"""What `pip install` of the checkout gives: one import name, a console script, and types."""

import asyncio
import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from hatch_build import NAME, files_of_package, imports_of
from runtime.version import VERSION
from sandbox.serving import ROOT
from tests.fixtures.starter import address_of
from tests.system import System
from tests.workflows.samples import captured

OURS = (
    "activities",
    "api",
    "client",
    "domain",
    "providers",
    "runtime",
    "sandbox",
    "starter",
    "web",
    "worker",
    "workflows",
)
COMMAND = "order-cancellation"

PROGRAM = """
import asyncio
import sys

from order_cancellation import Actor, CancellationRequest, Cancellations, Channel, ReasonCode


async def main(order_id: str, customer_id: str) -> None:
    request = CancellationRequest(
        request_id="web-1",
        order_id=order_id,
        customer_id=customer_id,
        actor=Actor.model_validate(f"customer:{customer_id}"),
        channel=Channel.WEB_SHOP,
        reason=ReasonCode.NO_LONGER_NEEDED,
    )
    async with await Cancellations.connect() as cancellations:
        submission = await cancellations.start(request)
        assert submission.decision
        result = await cancellations.result(order_id)
        status = await cancellations.status(order_id)
        print(submission.decision.verdict, result.outcome, status.state, result.refunded)


asyncio.run(main(*sys.argv[1:]))
"""


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the wheel, and with the packages of this one, so that no network is needed. `folder` has
    nothing of the checkout."""

    wheel: Path
    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / "venv" / "bin"

    @cached_property
    def modules(self) -> dict[str, str]:
        """The wheel's modules with their source."""
        with zipfile.ZipFile(self.wheel) as files:
            return {name: files.read(name).decode() for name in files.namelist() if name.endswith(".py")}

    def run(self, *command: str, **env: str) -> "subprocess.CompletedProcess[str]":
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        environment = {**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, "PATH": path, **env}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=60
        )


def copy_checkout(to: Path) -> Path:
    left_out = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "tests", "docs")
    return Path(shutil.copytree(ROOT, to, ignore=left_out))


def run_pip(*args: str | Path) -> None:
    done = call_pip(*args)
    assert done.returncode == 0, done.stdout + done.stderr


def call_pip(*args: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "pip", *args], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    folder = tmp_path_factory.mktemp("package")
    checkout = copy_checkout(folder / "checkout")
    run_pip("wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "wheel", checkout)
    [wheel] = (folder / "wheel").iterdir()
    shutil.rmtree(checkout)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    packages = folder / "venv" / Path(sysconfig.get_path("purelib")).relative_to(sysconfig.get_path("data"))
    (packages / "shared.pth").write_text(sysconfig.get_path("purelib"))
    run_pip("--python", folder / "venv" / "bin" / "python", "install", "--no-index", "--no-deps", wheel)
    return Installation(wheel, folder)


def test_everything_is_below_one_import_name(installation: Installation) -> None:
    with zipfile.ZipFile(installation.wheel) as files:
        tops = {name.partition("/")[0] for name in files.namelist()}
    assert tops == {NAME, f"{NAME}-{VERSION}.dist-info"}
    look = "import importlib.util, sys; print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name)])"
    assert installation.run("python", "-c", look, NAME, *OURS).stdout == f"{NAME}\n"


def test_what_it_imports_is_itself_or_what_pip_installs_with_it(installation: Installation) -> None:
    imported = {name.partition(".")[0] for source in installation.modules.values() for name in imports_of(source)}
    distributions = importlib.metadata.packages_distributions()
    theirs = (
        imported - {NAME, "pydantic_core"} - {*sys.stdlib_module_names}
    )  # pydantic says by itself which core it needs
    with zipfile.ZipFile(installation.wheel) as files:
        metadata = files.read(f"{NAME}-{VERSION}.dist-info/METADATA").decode()
    needed = {*re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", metadata, re.MULTILINE)}
    assert {distributions[name][0] for name in theirs} == needed


def test_a_module_that_is_no_part_of_it_fails_the_build(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "checkout")
    assert files_of_package(checkout)
    module = checkout / "client" / "runs.py"
    source = module.read_text(encoding="utf-8")
    for line, complaint in (
        ("from workflows.steps import STEPS", "client.runs imports workflows.steps.STEPS"),
        ("import worker", "client.runs imports worker"),
        ("import domain.money", "`import domain.money` cannot be rewritten"),
    ):
        module.write_text(f"{source}\n{line}\n", encoding="utf-8")
        with pytest.raises(ImportError, match=re.escape(complaint)):
            files_of_package(checkout)


def test_a_link_to_the_checkout_is_refused(installation: Installation) -> None:
    checkout = copy_checkout(installation.folder / "linked")
    python = installation.bin / "python"
    said = call_pip("--python", python, "install", "--no-index", "--no-deps", "--no-build-isolation", "-e", checkout)
    assert said.returncode == 1
    assert "install without --editable" in said.stdout + said.stderr


async def test_a_program_that_knows_nothing_else_cancels_an_order(
    installation: Installation, open_system: System, dev_server: WorkflowEnvironment
) -> None:
    sample = captured()
    await open_system.shop.place_order(sample)
    program = installation.folder / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    temporal = {"TEMPORAL_ADDRESS": address_of(dev_server)}
    # In a thread: the worker is in this one.
    said = await asyncio.to_thread(
        installation.run, "python", str(program), sample.order_id, sample.customer_id, **temporal
    )
    assert (said.stderr, said.stdout) == ("", "approved cancelled cancelled 64.00 USD\n")
    shown = await asyncio.to_thread(installation.run, COMMAND, "status", sample.order_id, **temporal)
    assert f"order {sample.order_id}  cancelled" in shown.stdout


def test_a_program_that_uses_it_is_checked_by_its_types(installation: Installation) -> None:
    program = installation.folder / "typed.py"
    more = "reveal_type(CancellationRequest.model_validate({}).reason)\nActor(id=1)\n"
    program.write_text(PROGRAM + more, encoding="utf-8")
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", str(installation.bin / "python"))
    said = installation.run(*mypy, program.name)
    assert 'Revealed type is "order_cancellation.domain.request.ReasonCode"' in said.stdout
    assert 'Missing named argument "kind" for "Actor"' in said.stdout
    assert "Found 2 errors in 1 file" in said.stdout


def test_the_version_is_after_the_one_whose_tables_are_left_behind() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    [left_behind, current] = re.findall(r"tables of (\S+) are not brought up to date by (\S+),", page)[0]
    assert left_behind != current
    assert VERSION.removesuffix(".dev0") == current


def test_the_command_has_the_version_of_the_package(installation: Installation) -> None:
    """P8"""
    assert installation.run(COMMAND, "--version").stdout == f"{COMMAND} {VERSION}\n"


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("sta", ["start", "status"]),
        ("list --state waiting_for_s", ["waiting_for_settlement"]),
        ("start O-1 --rea", ["--reason"]),
        ("start O-1 --reason out", ["out_of_stock"]),
        ("resolve O-1 --resolution ", ["done_by_hand", "nothing_due", "roll_back"]),
        ("status ", []),
    ],
)
def test_a_shell_completes_commands_options_and_words_of_closed_sets(
    installation: Installation, words: str, completed: list[str]
) -> None:
    """P8"""
    line = f"{COMMAND} {words}"
    asked = {"_ORDER_CANCELLATION_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    assert installation.run(COMMAND, **asked).stdout.split() == completed


def test_bash_takes_the_completion_that_is_shown(installation: Installation) -> None:
    """P8"""
    script = 'eval "$(order-cancellation --show-completion bash)"; complete -p order-cancellation'
    said = installation.run("bash", "-ec", script)
    assert (said.returncode, said.stdout.split()[-1]) == (0, COMMAND)


async def test_a_hint_names_the_command_as_it_was_called(
    installation: Installation, dev_server: WorkflowEnvironment
) -> None:
    """P8: it can be pasted, whatever the order is called."""
    starter = str(ROOT / "starter.py")
    for called, path in (
        ((COMMAND,), None),
        ((str(installation.bin / COMMAND),), os.environ["PATH"]),
        ((f"venv/bin/{COMMAND}",), os.environ["PATH"]),
        (("python", starter), None),
        ((sys.executable, "-B", starter), None),
    ):
        environment = {"TEMPORAL_ADDRESS": address_of(dev_server), **({"PATH": path} if path else {})}
        said = await asyncio.to_thread(installation.run, *called, "status", "O'1;$HOME", **environment)
        hint = said.stderr.partition("start one with: ")[2]
        assert shlex.split(hint) == [*called, "start", "O'1;$HOME", "--actor", "KIND:ID", "--reason", "REASON"]
