"""The state machine for a case finds what it is there to find: each bug that is planted here would cost money or goods.

A patch is against domain/, with the bug in a sentence above it. It is applied to a copy, and the machine runs on that copy.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
PATCHES = sorted((Path(__file__).parent / "planted").glob("*.patch"))
NEEDED = ("__init__.py", "build.py", "cases.py", "case_model.py", "case_machine.py", "test_case_machine.py")
CONFTEST = """
from hypothesis import Phase, settings

settings.register_profile(
    "planted",
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)
"""
PYTEST_INI = "[pytest]\npythonpath = .\naddopts = --import-mode=importlib\nmarkers =\n properties\n timeout\n"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Of domain/, and of what the machine needs."""
    no_caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "domain", tmp_path / "domain", ignore=no_caches)
    tests = tmp_path / "tests" / "domain"
    tests.mkdir(parents=True)
    for name in NEEDED:
        shutil.copy(ROOT / "tests" / "domain" / name, tests / name)
    (tmp_path / "tests" / "__init__.py").touch()
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text(PYTEST_INI)
    return tmp_path


def plant(patch: Path, copy: Path) -> None:
    outside = {**os.environ, "GIT_CEILING_DIRECTORIES": str(copy.parent)}
    apply = ["git", "apply", "-C1", str(patch)]
    applied = subprocess.run(apply, cwd=copy, env=outside, capture_output=True, text=True, check=False)
    if applied.returncode:
        why = applied.stderr.strip().splitlines()[0]
        pytest.fail(
            f"{patch.name} does not apply to domain/: plant its bug where the code is now ({why}).", pytrace=False
        )


def run_machine(copy: Path) -> subprocess.CompletedProcess[str]:
    machine = "tests/domain/test_case_machine.py"
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--hypothesis-profile=planted", machine],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(600)
def test_without_a_bug_the_machine_passes(copy: Path) -> None:
    result = run_machine(copy)
    assert result.returncode == 0, result.stdout[-3000:]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_a_planted_bug_is_found(patch: Path, copy: Path) -> None:
    plant(patch, copy)
    result = run_machine(copy)
    assert "1 failed" in result.stdout, f"{patch.name} is not found:\n{result.stdout[-1500:]}{result.stderr[-1500:]}"


def test_there_are_bugs_to_find() -> None:
    """A glob that finds nothing passes everything."""
    assert len(PATCHES) >= 10
