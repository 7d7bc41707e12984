"""Rules about what runs share with each other, because the sandbox does not read it anew for each: no clock, no
randomness, no network, nothing that one run could change for another."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = sorted(
    [*(ROOT / "workflows").glob("*.py"), ROOT / "activities/signatures.py", ROOT / "activities/__init__.py"]
)

LIBRARIES = {
    "asyncio",
    "collections.abc",
    "contextlib",
    "dataclasses",
    "datetime",
    "enum",
    "functools",
    "json",
    "pydantic",
    "temporalio",
    "temporalio.common",
    "temporalio.exceptions",
    "temporalio.workflow",
    "typing",
}
OURS = ("activities.signatures", "domain", "workflows")
NAMES_OF_OURS = {"activities": {"signatures"}, "runtime": {"search_attributes"}}
"""Of these packages nothing else."""

UNREPEATABLE = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "asyncio.wait",
    "asyncio.as_completed",
    "asyncio.to_thread",
    "open",
    "print",
    "input",
    "id",
    "hash",
    "globals",
    "setattr",
}
"""A replay would not come to the same. `asyncio.wait` takes a set: `workflow.wait` keeps the order."""
CHANGES = {"append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "remove", "discard", "clear"}
KEEPS = {"cache", "lru_cache", "cached_property"}


def assigned_at_top(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in tree.body:
        match node:
            case ast.Assign(targets=targets):
                found |= {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
    return found


def defined_or_imported(tree: ast.Module) -> set[str]:
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom | ast.Import)]
    names = {alias.asname or alias.name for node in imports for alias in node.names}
    return names | {node.name for node in tree.body if isinstance(node, ast.ClassDef)}


def unsafe(tree: ast.Module) -> Iterator[str]:
    """What a run may not do where it shares a module with others."""
    values = assigned_at_top(tree)
    top = values | defined_or_imported(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name not in LIBRARIES)
            case ast.ImportFrom(module=str(module), names=names):
                ours = module.split(".")[0] in {"domain", "workflows"} or module in OURS
                listed = {alias.name for alias in names} <= NAMES_OF_OURS.get(module, set())
                if module not in LIBRARIES and not ours and not listed:
                    yield ast.unparse(node)
            case ast.Global() | ast.Nonlocal():
                yield ast.unparse(node)
            case ast.Call(func=func) if ast.unparse(func) in UNREPEATABLE:
                yield ast.unparse(node)
            case ast.Call(func=ast.Attribute(attr=method, value=ast.Name(id=name))) if (
                method in CHANGES and name in values
            ):
                yield ast.unparse(node)
            case (
                ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del())
                | ast.Attribute(value=ast.Name(id=name), ctx=ast.Store() | ast.Del())
            ) if name in top:
                yield ast.unparse(node)
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in KEEPS:
                yield name


@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_runs_share_is_repeatable_and_never_changed(path: Path) -> None:
    assert not list(unsafe(ast.parse(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize(
    "text",
    [
        "import random",
        "import time",
        "from os import environ",
        "from uuid import uuid4",
        "from activities.orders import owned_order",
        "from providers.register.sql import SqlRegister",
        "from runtime import logs",
        "at = datetime.now(UTC)",
        "done = await asyncio.wait(tasks)",
        "_SEEN: dict[str, int] = {}\ndef run() -> None:\n    _SEEN['order'] = 1",
        "_SEEN = []\ndef run() -> None:\n    _SEEN.append('order')",
        "class Run:\n    seen = 0\ndef run() -> None:\n    Run.seen = 1",
        "from workflows import steps\ndef run() -> None:\n    steps.ALL_STEPS = ()",
        "def run() -> None:\n    global seen",
        "@functools.cache\ndef run() -> int:\n    return 1",
    ],
)
def test_what_is_not_would_be_found(text: str) -> None:
    assert list(unsafe(ast.parse(text)))
