"""A planted bug: a patch against the tree. Its first line says what it is, the next one which invariants it breaks."""

import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

from domain.base import Value
from tests.faults.model import Invariant

ROOT = Path(__file__).resolve().parents[3]
FOLDER = Path(__file__).parent
_BREAKS = "Breaks: "


class Bug(Value):
    """`name` is the file's, below its folder and without its ending."""

    name: str
    sentence: str
    breaks: tuple[Invariant, ...]

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.name}.patch"

    @property
    def digest(self) -> str:
        return sha256(self.file.read_bytes()).hexdigest()[:8]


class DoesNotApply(Exception):
    """The code has changed: the bug is to be planted where it is now."""


def read_bug(file: Path) -> Bug:
    sentence, breaks = file.read_text(encoding="utf-8").splitlines()[:2]
    assert breaks.startswith(_BREAKS), f"{file.name} does not say in its second line what it breaks"
    invariants = tuple(Invariant(word.strip()) for word in breaks.removeprefix(_BREAKS).split(","))
    return Bug(name=str(file.relative_to(FOLDER).with_suffix("")), sentence=sentence, breaks=invariants)


def read_bugs() -> list[Bug]:
    return [read_bug(file) for file in sorted(FOLDER.rglob("*.patch"))]


def copy_tree(target: Path) -> None:
    """What git knows of the tree, as it is now."""
    known = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, known.split("\0")):
        if (ROOT / name).is_file():
            copied = target / name
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copied)


def plant(bug: Bug, tree: Path, *, really: bool = True) -> None:
    """Raises DoesNotApply."""
    outside = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.resolve().parent)}
    apply = ["git", "apply", "-C1", *([] if really else ["--check"]), str(bug.file)]
    applied = subprocess.run(apply, cwd=tree, env=outside, capture_output=True, text=True, check=False)
    if applied.returncode:
        raise DoesNotApply(f"{bug.name}: {applied.stderr.strip().splitlines()[0]}")
