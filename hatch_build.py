"""What a wheel holds: the client library and the command line, under one import name.

In the checkout the packages are at the top level and import each other from there. Installed, names such as `client` and
`domain` would collide with those of other people. So each module that the ENTRIES need comes into the wheel below
`order_cancellation`, and its imports of the others are rewritten. The build fails where one of them imports what is not in
PACKAGES: the workflows, say.
"""

import ast
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "order_cancellation"
PACKAGES = ("client", "domain", "runtime")
ENTRIES = (NAME, "starter")
DATA = (f"{NAME}/py.typed", "texts/*/LC_MESSAGES/messages.po")
"""What else comes along, by its place in the checkout."""


class OneImportName(BuildHookInterface[BuilderConfig]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            raise ImportError(
                "A link to the checkout has other import names than the wheel; install without --editable."
            )
        self._folder = tempfile.TemporaryDirectory()
        for place, content in files_of_package(Path(self.root)).items():
            file = Path(self._folder.name) / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        build_data["force_include"][self._folder.name] = NAME

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        self._folder.cleanup()


def files_of_package(checkout: Path) -> dict[Path, bytes]:
    """All that the ENTRIES need, by its place in the package. Raises ImportError."""
    found = {}
    for module in needed_modules(checkout):
        source = file_of(checkout, module)
        found[source] = with_one_name(source.read_text(encoding="utf-8")).encode()
    for pattern in DATA:
        found |= {file: file.read_bytes() for file in checkout.glob(pattern)}
    # What stands in the folder of the import name itself is at the top of the package.
    return {
        file.relative_to(checkout / NAME if file.is_relative_to(checkout / NAME) else checkout): content
        for file, content in found.items()
    }


def needed_modules(checkout: Path) -> set[str]:
    """The ENTRIES and what they import of the checkout, directly or not. Raises ImportError."""
    needed: set[str] = set()
    found = {*ENTRIES}
    while found:
        module = found.pop()
        needed.add(module)
        for imported in imports_of(file_of(checkout, module).read_text(encoding="utf-8")):
            parts = imported.split(".")
            if parts[0] in PACKAGES:
                modules = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
                found |= {name for name in modules if file_of(checkout, name).exists()} - needed
            elif (checkout / parts[0]).is_dir() or (checkout / f"{parts[0]}.py").exists():
                raise ImportError(f"{module} imports {imported}, which is no part of the wheel.")
    return needed


def file_of(checkout: Path, module: str) -> Path:
    path = checkout.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports_of(source: str) -> Iterator[str]:
    """The names of modules, and of what is imported from each, which may be a module too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def with_one_name(source: str) -> str:
    """The source with its imports of PACKAGES rewritten. Raises ImportError where one binds the name of a package."""
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in PACKAGES:
                    raise ImportError(f"`import {alias.name}` cannot be rewritten; write `from … import …`.")
        elif isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in PACKAGES:
            before, statement = lines[node.lineno - 1][: node.col_offset], lines[node.lineno - 1][node.col_offset :]
            lines[node.lineno - 1] = before + re.sub(r"^from\s+", f"from {NAME}.", statement)
    return "".join(lines)
