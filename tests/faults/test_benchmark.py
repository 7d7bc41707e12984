"""`make bench` in small: every measurement is made once, on all its processes. The figures mean nothing here."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.figures import Measured, Subject
from benchmarks.floor import PAGE
from sandbox.serving import ROOT

pytestmark = pytest.mark.long


@pytest.mark.timeout(400)
def test_a_quick_benchmark_measures_everything_and_leaves_the_page_alone(tmp_path: Path) -> None:
    page, figures = PAGE.read_bytes(), tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.floor", "--quick", "--json", str(figures)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    measured = Measured.model_validate_json(figures.read_bytes())
    assert set(measured.median.subjects) == set(Subject)
    assert measured.median.subjects[Subject.FLOOR].one_worker.counts.activities == 4
    assert "times the floor" in done.stdout
    assert PAGE.read_bytes() == page
