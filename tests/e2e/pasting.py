"""Every block of commands of the pages that a newcomer meets, pasted as it is beside a fresh `make up`."""

import asyncio
import os
import re
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT
from dataclasses import dataclass
from pathlib import Path

from sandbox.serving import ROOT

PAGES = ("README.md", "docs/tour.md", "docs/configuration.md", "docs/http.md", "docs/operations.md")
EXAMPLE = ".venv/bin/python docs/contract/examples/cancel.py 2006 C-2006\n"
"""Stands in docs/contract/README.md, before one that needs Node.js (tests/integrations)."""
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PASTED = re.compile(r"^(\.venv/bin/python starter\.py|curl|printf|kill) |^(KEY|API_KEYS_FILE)=")


@dataclass(frozen=True)
class Up:
    """What `make up` has printed, where it matters to a command."""

    temporal: str
    api: str
    folder: Path

    async def paste(self, block: str) -> tuple[int, str]:
        """Run a block in a shell that ends at its first failure; returns the exit code and all that was said."""
        script = block.replace(".run/demo", str(self.folder)).replace(".venv/bin/python", sys.executable)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            script = script.replace("8001", str(probe.getsockname()[1]))
        environment = {**os.environ, "TEMPORAL_ADDRESS": self.temporal, "API_URL": self.api}
        if "docs/contract/examples" not in block:  # these know nothing of this checkout
            environment["PYTHONPATH"] = str(ROOT)
        shell = await asyncio.create_subprocess_exec(
            "bash", "-e", "-c", script, cwd=ROOT, env=environment, stdout=PIPE, stderr=STDOUT
        )
        said, _ = await shell.communicate()
        assert shell.returncode is not None
        return shell.returncode, said.decode()


def blocks(page: str) -> list[str]:
    """The blocks of commands of a page, and its Python programs as commands."""
    found = []
    for language, block in _BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        if language == "python":
            found.append(f".venv/bin/python - <<'EOF'\n{block}EOF\n")
        elif not language and all(_PASTED.match(line) for line in block.replace("\\\n", "").splitlines()):
            found.append(block)
    return found


async def paste_all(up: Up) -> list[str]:
    """What failed of all pages, in the order in which they stand."""
    (ROOT / ".run").mkdir(exist_ok=True)
    failed = []
    for page in PAGES:
        for block in (*blocks(page), *([EXAMPLE] if page == PAGES[-1] else [])):
            code, said = await up.paste(block)
            # A curl succeeds with whatever is answered: problems are looked for.
            if code != 0 or "urn:order-cancellation:" in said:
                failed.append(f"{page}: {block}\nexit code {code}\n{said}")
    return failed
