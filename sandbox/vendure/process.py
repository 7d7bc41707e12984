"""How the shop's program is run: on Node, on a free port of the loopback interface, with its data in a folder."""

import hashlib
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from sandbox.serving import ROOT, Process

SHOP = ROOT / "sandbox" / "vendure"
_PROGRAM = SHOP / "dist" / "server.js"
_DASHBOARD = SHOP / "dist" / "dashboard" / "index.html"
_PLUGIN = SHOP / "node_modules" / "@order-cancellation" / "vendure-plugin" / "dist"
_POPULATED = ROOT / ".run" / "vendure"
_DATABASE = "vendure.sqlite"
_START_SECONDS = 90


class VendureProcess(Process):
    """A shop whose data is in `folder`; a new folder gets a populated shop without orders. What was answered is on disk: it
    survives `kill`, and the next `start` continues from it, at the same address."""

    def __init__(self, folder: Path, *, plugin: bool, dashboard: bool = False) -> None:
        """`plugin`: ours is part of the shop. `dashboard`: so is Vendure's own, under /dashboard, and orders have numbers
        from 5001 on."""
        wanted = {"--plugin": plugin, "--dashboard": dashboard}
        self._command = [str(_PROGRAM), "--data", str(folder), *(option for option, given in wanted.items() if given)]
        super().__init__("Vendure", self._command, folder / "vendure.log", program="node")
        self.folder = folder
        self.plugin = plugin

    def start(self, *, timeout: float = _START_SECONDS) -> "VendureProcess":
        if not (self.folder / _DATABASE).exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(_find_populated(plugin=self.plugin), self.folder / _DATABASE)
        return self.start_and_populate(timeout=timeout)

    def start_and_populate(self, *, timeout: float = _START_SECONDS) -> "VendureProcess":
        """The same, but the program itself populates a new folder, which takes a while."""
        self.check_installed()
        self.argv = [*self._command, "--port", str(urlsplit(self.url).port or 0)]
        super().start(timeout=timeout)
        return self

    def check_installed(self) -> None:
        """Raises RuntimeError that says what to run."""
        if not _PROGRAM.exists():
            raise RuntimeError("The Vendure shop is not installed. Run: make vendure")
        if "--dashboard" in self.argv and not _DASHBOARD.exists():
            raise RuntimeError("Vendure's dashboard is not installed. Run: make vendure-dashboard")


def _find_populated(*, plugin: bool) -> Path:
    """The database of a populated shop without orders, which is made once for each version of the shop and its plugin."""
    made = _POPULATED / f"{'with' if plugin else 'without'}-plugin-{_fingerprint()}.sqlite"
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=made.parent) as new:
            VendureProcess(Path(new), plugin=plugin).start_and_populate().stop()
            (Path(new) / _DATABASE).replace(made)
    return made


def _fingerprint() -> str:
    """It changes with everything that decides about the tables and their content."""
    programs = sorted([*_PROGRAM.parent.glob("*.js"), *_PLUGIN.rglob("*.js"), SHOP / "package-lock.json"])
    return hashlib.sha256(b"".join(program.read_bytes() for program in programs)).hexdigest()[:12]
