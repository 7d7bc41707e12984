"""The packages for Node.js are pinned by their content, and come from whatever registry npm is set up for."""

import json

import pytest

from sandbox.serving import ROOT

FOLDERS = ("docs/contract/examples", "integrations/vendure", "sandbox/vendure")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_lock_file_names_no_registry_and_pins_every_package(folder: str) -> None:
    lock = json.loads((ROOT / folder / "package-lock.json").read_text())
    fetched = {
        name: entry
        for name, entry in lock["packages"].items()
        if name and not is_ours(entry.get("resolved", "")) and "inBundle" not in entry
    }
    assert fetched
    assert not [name for name, entry in fetched.items() if "resolved" in entry]
    assert not [name for name, entry in fetched.items() if not entry.get("integrity", "").startswith("sha512-")]


def is_ours(resolved: str) -> bool:
    return resolved.startswith("file:") and (ROOT / "sandbox/vendure" / resolved.removeprefix("file:")).is_dir()


def test_every_folder_with_a_lock_file_is_known() -> None:
    found = {file.parent for file in ROOT.rglob("package-lock.json") if "node_modules" not in file.parts}
    assert found == {ROOT / folder for folder in FOLDERS}
