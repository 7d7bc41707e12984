"""The API as a process: what it does when something is missing, at its start and at its end."""

import asyncio
import os
import re
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from pathlib import Path

import pytest
from sqlalchemy import text

from client.status import Source, Status
from domain.outcome import State
from domain.request import workflow_id
from providers.database.engine import open_engine
from runtime.plugin import TASK_QUEUE
from sandbox.serving import ROOT
from tests.fixtures.api import SERVICE, Api, ApiSystem, environment, running_api
from tests.fixtures.databases import Databases
from tests.fixtures.temporal import start_dev_server
from tests.processes.asking import asked, problem
from tests.system import eventually
from tests.workflows.samples import captured

# When something is missing


async def test_a_request_that_is_not_decided_in_time_learns_where_to_look(databases: Databases, tmp_path: Path) -> None:
    """No worker runs. What was begun stays, and a message that nobody takes is distinguished from one that was refused."""
    async with await start_dev_server() as server:
        address = server.client.service_client.config.target_host
        env = {**environment(address, await databases.sqlite(tmp_path / "book.db")), "DECISION_WAIT": "PT0.5S"}
        async with running_api(tmp_path / "api.log", env) as api:
            answer = await api.start("O-1", {"reason": "found_cheaper", "customer_id": "C-1"})
            assert answer.status_code == 202
            assert answer.headers["location"] == "/orders/O-1/cancellation"
            shown = Status.model_validate_json((await api.get("/orders/O-1/cancellation")).content)
            assert (shown.source, shown.state) == (Source.LAST_PUBLISHED, State.RUNNING)
        run = server.client.get_workflow_handle(workflow_id("O-1"))
        assert (await run.describe()).task_queue == TASK_QUEUE


async def test_without_temporal_callers_are_asked_to_come_again(databases: Databases, tmp_path: Path) -> None:
    """At the start, and when it goes away afterwards; what it says is for the log."""
    url = await databases.sqlite(tmp_path / "book.db")
    async with running_api(tmp_path / "down.log", environment("127.0.0.1:9", url)) as api:
        for answer in (
            await api.start("O-1", {"reason": "found_cheaper", "customer_id": "C-1"}),
            await api.get("/orders/O-1/cancellation"),
            await api.http.get("/ready"),
        ):
            assert "127.0.0.1" not in problem(answer, 503, "unavailable")
            assert answer.headers["retry-after"] == "5"
        assert (await api.http.get("/health")).status_code == 200
        assert any("127.0.0.1:9" in line.get("error", "") for line in api.lines())
    async with await start_dev_server() as server:
        env = {**environment(server.client.service_client.config.target_host, url), "DECISION_WAIT": "PT2S"}
        async with running_api(tmp_path / "gone.log", env) as api:
            assert (await api.http.get("/ready")).status_code == 200
            await server.shutdown()
            gone = await api.start("O-1", {"reason": "found_cheaper", "customer_id": "C-1"})
            problem(gone, 503, "unavailable")


async def test_pages_of_a_named_origin_may_call_it_and_no_others(databases: Databases, tmp_path: Path) -> None:
    desk, asked_for = "https://desk.shop.example", {"Access-Control-Request-Method": "POST"}
    env = {**environment("127.0.0.1:9", await databases.sqlite(tmp_path / "book.db")), "CORS_ORIGINS": desk}
    async with running_api(tmp_path / "api.log", env) as api:
        allowed = await api.http.options("/cancellations", headers={"Origin": desk, **asked_for})
        other = await api.http.options("/cancellations", headers={"Origin": "https://elsewhere.example", **asked_for})
        answer = await api.http.get("/cancellations", headers={"Origin": desk})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, desk)
    assert "access-control-allow-origin" not in other.headers
    assert answer.headers["access-control-allow-origin"] == desk
    problem(answer, 401, "key_missing")


async def test_without_the_database_it_is_not_ready(api_system: ApiSystem, tmp_path: Path) -> None:
    env = environment(api_system.temporal, "postgresql://nobody@127.0.0.1:9/none")
    async with running_api(tmp_path / "api.log", env) as api:
        problem(await api.http.get("/ready"), 503, "unavailable")


# The process


async def test_its_start_is_lines_of_one_log(sqlite_url: str) -> None:
    """For people: no library's own lines, and nothing between them that is meant for a program."""
    env = {**environment("127.0.0.1:9", sqlite_url), "LOG_FORMAT": "console"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "api.py", cwd=ROOT, env={**os.environ, **env}, stdout=PIPE, stderr=PIPE
    )
    assert process.stderr is not None
    lines = list[str]()
    while not any("api_started" in line for line in lines):
        lines.append((await process.stderr.readline()).decode())
        assert lines[-1], lines
    process.terminate()
    out, rest = await process.communicate()
    assert out == b""
    lines += rest.decode().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[\w+ *\] ", line) for line in lines), lines
    assert not [line for line in lines if re.search("alembic|Context impl|transactional DDL", line)]
    assert any(re.search(r"api_started +url=http://127\.0\.0\.1:\d+$", line.strip()) for line in lines), lines


async def test_sigterm_lets_a_request_in_flight_be_answered(databases: Databases, tmp_path: Path) -> None:
    async with await start_dev_server() as server:
        address = server.client.service_client.config.target_host
        env = {**environment(address, await databases.sqlite(tmp_path / "book.db")), "DECISION_WAIT": "PT2S"}
        async with running_api(tmp_path / "api.log", env) as api:
            asking = asyncio.create_task(api.start("O-1", {"reason": "found_cheaper", "customer_id": "C-1"}))

            async def begun() -> bool:
                return bool(
                    [run async for run in server.client.list_workflows("WorkflowType = 'CancellationWorkflow'")]
                )

            await eventually(begun, "the request has reached Temporal")
            assert await asyncio.to_thread(api.process.stop) == 0
            assert (await asking).status_code == 202
            assert api.lines()[-1]["event"] == "api_stopped"


async def test_nothing_personal_or_secret_is_in_the_log(api: Api, api_system: ApiSystem) -> None:
    """I8"""
    sample = captured()
    await api_system.system.shop.place_order(sample)
    await api.start(sample.order_id, asked(sample, note="call Mrs. Canary at 555-0199"))
    await api.get("/orders/jo@canary.example/cancellation")
    await api.http.get("/cancellations", params={"key": "Canary"}, headers={"Authorization": "Bearer Canary"})
    logged = api.process.log.read_text()
    mine = [
        line for line in api.lines() if line.get("order_id") == sample.order_id and line["event"] == "request_answered"
    ]
    assert [(line["method"], line["status"], line["caller"]) for line in mine] == [("POST", 201, "web-shop")]
    for secret in ("canary", SERVICE, "whsec_", "customer.example"):
        assert secret.lower() not in logged.lower()


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"API_KEYS_FILE": ""}, "API_KEYS_FILE: it is missing"),
        ({"API_KEYS_FILE": "none.toml"}, "The keys of API_KEYS_FILE (none.toml) cannot be read: No such file"),
        ({"POLICY_FILE": "none.toml"}, "The policy file none.toml cannot be read: No such file"),
        ({"API_PORT": "none"}, "API_PORT"),
        ({"API_HOST": "192.0.2.1"}, "cannot be listened on"),
        ({"DATABASE_URL": "canary"}, "DATABASE_URL is not the address of a database"),
    ],
)
def test_wrong_settings_are_named_without_their_value(env: Mapping[str, str], says: str) -> None:
    done = run_api({**environment("127.0.0.1:9", "sqlite:///none.db"), **env})
    assert done.returncode == 2
    assert says in done.stderr
    assert "canary" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (
            "DROP TABLE alembic_version",
            "missing or older than this version; run python -m providers.database.migrate\n",
        ),
        ("UPDATE alembic_version SET version_num = '9999'", "newer than this version"),
    ],
)
async def test_tables_of_another_version_are_one_sentence(sqlite_url: str, statement: str, says: str) -> None:
    engine = open_engine(sqlite_url)
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    await engine.dispose()
    done = await asyncio.to_thread(run_api, environment("127.0.0.1:9", sqlite_url))
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def run_api(env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "api.py"],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
