"""Where `make up` is, and what it says of that."""

import socket
from pathlib import Path

import pytest

from sandbox.stack import USUAL_API_PORT, USUAL_PORT, USUAL_UI_PORT, Stack, StackError, new_stack
from sandbox.vendure import process

TEMPORAL, API = "export TEMPORAL_ADDRESS=127.0.0.1:41234", "export API_URL=http://127.0.0.1:41235"


@pytest.mark.parametrize(
    ("port", "api_port", "lines"),
    [
        (USUAL_PORT, USUAL_API_PORT, ()),
        (41234, USUAL_API_PORT, (TEMPORAL,)),
        (USUAL_PORT, 41235, (API,)),
        (41234, 41235, (TEMPORAL, API)),
    ],
)
def test_what_is_elsewhere_than_the_documents_say_is_a_line_to_paste(
    tmp_path: Path, port: int, api_port: int, lines: tuple[str, ...]
) -> None:
    assert Stack(tmp_path, port, USUAL_UI_PORT, api_port).exports == lines


@pytest.mark.parametrize(
    ("missing", "goal"),
    [("_PROGRAM", "make vendure"), ("_DASHBOARD", "make vendure-dashboard")],
    ids=["shop", "dashboard"],
)
async def test_what_is_not_installed_of_vendure_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, goal: str
) -> None:
    monkeypatch.setattr(process, "_PROGRAM", tmp_path)  # it is there
    monkeypatch.setattr(process, missing, tmp_path / "nothing")
    stack = Stack(tmp_path, USUAL_PORT, USUAL_UI_PORT, None, over_vendure=True)
    with pytest.raises(StackError, match=f"is not installed. Run: {goal}$"):
        await stack.start()
    assert not stack.temporal.running


async def test_a_port_that_somebody_else_takes_before_temporal_does_is_exchanged(tmp_path: Path) -> None:
    async with new_stack(tmp_path) as stack:
        with socket.create_server(("127.0.0.1", int(stack.address.rpartition(":")[2]))):
            taken = stack.address
            client = await stack.start()
        assert client.service_client.config.target_host == stack.address != taken
        assert stack.temporal.running


async def test_a_second_one_is_told_what_to_stop(tmp_path: Path) -> None:
    """`make up` has no option for another folder."""
    async with new_stack(tmp_path):
        with pytest.raises(StackError) as refused:
            async with new_stack(tmp_path):
                raise AssertionError("both have the same folder")
    assert str(refused.value) == f"Another `make up` or `make demo` is running in {tmp_path}; stop it first."
