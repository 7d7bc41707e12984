"""docker-compose.yml, the Dockerfile and the code say the same. No container engine is needed: what the containers would run
is run here, from the files that would be in the image, against a real Temporal server and the real sandbox."""

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
import yaml
from pydantic import BaseModel, SecretStr, TypeAdapter
from pydantic_settings import BaseSettings
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from providers.database.engine import open_engine
from runtime import search_attributes
from runtime.api_keys import load_keys, sandbox_keys_file
from runtime.api_settings import ApiSettings
from runtime.connection import connection
from runtime.logs import LogFormat
from runtime.plugin import TASK_QUEUE, plugin
from runtime.settings import WorkerSettings
from sandbox.carrier.model import EASYPOST_KEY, UPS_CLIENT_ID, UPS_CLIENT_SECRET, WEBHOOK_SECRET
from sandbox.gateway_admin import SANDBOX_KEY
from sandbox.marketplace.model import MARKETPLACE_KEY
from sandbox.serving import Process
from tests.fixtures.api import STRIPE_SECRET
from workflows.cancellation import CancellationWorkflow

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

ONE_SHOT = {"schema", "namespace", "migrate"}
SANDBOX = ["carrier", "gateway", "mailbox", "marketplace"]
HEALTHY, COMPLETED = "service_healthy", "service_completed_successfully"

Settings = TypeVar("Settings", bound=BaseSettings)


class Build(BaseModel):
    context: str
    target: str


class HealthCheck(BaseModel):
    test: list[str]


class Dependency(BaseModel):
    condition: str


class Service(BaseModel):
    image: str = ""
    build: Build | None = None
    user: str = ""
    read_only: bool = False
    tmpfs: list[str] = []
    cap_drop: list[str] = []
    cap_add: list[str] = []
    privileged: bool = False
    security_opt: list[str] = []
    restart: str = "no"
    command: list[str] = []
    entrypoint: list[str] = []
    environment: dict[str, str] = {}
    depends_on: dict[str, Dependency] = {}
    healthcheck: HealthCheck | None = None
    ports: list[str] = []
    volumes: list[str] = []
    stop_grace_period: str = "10s"

    def environ(self, **given: str) -> dict[str, str]:
        """The environment of the container when Compose is run with the variables `given`."""
        return {name: _interpolated(value, given) for name, value in self.environment.items()}


def _interpolated(value: str, given: dict[str, str]) -> str:
    """As Compose does it: `:-` puts its text also for an empty variable, `-` for a missing one only, `:+` for one that is
    not empty, `$$` is a `$`."""

    def put(found: re.Match[str]) -> str:
        name, operator, text = found.groups()
        if operator == ":+":
            return text if given.get(name) else ""
        return given.get(name, text) if operator == "-" else given.get(name) or text

    return re.sub(r"\$\{(\w+)(:?-|:\+)([^}]*)\}", put, value).replace("$$", "$")


def _compose() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


SERVICES = TypeAdapter(dict[str, Service]).validate_python(_compose()["services"])
BUILT = sorted(name for name, service in SERVICES.items() if service.build)


def _copied(target: str) -> list[str]:
    """What the COPY lines of an image's stages take from the checkout."""
    stages: dict[str, list[str]] = {}
    current: list[str] = []
    for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[:1] == ["FROM"]:
            current = list(stages.get(words[1], []))
            stages[words[3]] = current
        elif words[:1] == ["COPY"] and not words[1].startswith("--from="):
            current += words[1:-1]
    return stages[target]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """For each image a folder with the files of the project that would be in it."""
    folders: dict[str, Path] = {}
    for target in ("worker", "sandbox"):
        folders[target] = tmp_path_factory.mktemp(target)
        for pattern in _copied(target):
            for source in ROOT.glob(pattern):
                goal = folders[target] / source.name
                if source.is_dir():
                    shutil.copytree(source, goal, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(source, goal)
    return folders


def _environ(given: dict[str, str]) -> dict[str, str]:
    """A clean environment for a child process, in which `python` and `temporal` are the ones of the tests."""
    return {"PATH": f"{BIN}:{os.environ['PATH']}", "COLUMNS": "200", "TERM": "dumb", **given}


def _run(command: Sequence[str], *, cwd: Path = ROOT, **given: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, cwd=cwd, env=_environ(given), capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("name", [name for name in BUILT if name != "api"])  # which has no options; it is run below
def test_every_command_exists_in_its_image_and_has_the_options_it_is_given(name: str, images: dict[str, Path]) -> None:
    service = SERVICES[name]
    assert service.build is not None
    answer = _run(["python", *service.command, "--help"], cwd=images[service.build.target])
    assert answer.returncode == 0, answer.stderr
    given = [word for word in service.command if word.startswith("--")]
    assert [option for option in given if option not in answer.stdout] == []


def test_the_worker_image_holds_no_sandbox_and_nothing_is_copied_that_the_context_lacks(
    images: dict[str, Path],
) -> None:
    allowed = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    assert {*_copied("sandbox"), *_copied("packages"), *_copied("sandbox-packages")} == allowed
    assert not (images["worker"] / "sandbox").exists()
    assert (images["worker"] / "policy.toml").is_file()


def test_the_environment_of_the_worker_is_complete_and_fits_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(monkeypatch, "worker", WorkerSettings)
    assert settings.stripe_api_key.get_secret_value() == SANDBOX_KEY
    assert settings.easypost_api_key.get_secret_value() == EASYPOST_KEY
    assert (settings.ups_client_id, settings.ups_client_secret.get_secret_value()) == (UPS_CLIENT_ID, UPS_CLIENT_SECRET)
    assert settings.marketplace_api_key is not None
    assert settings.marketplace_api_key.get_secret_value() == MARKETPLACE_KEY
    assert settings.marketplace_reason_code is None
    assert (settings.smtp_username, settings.smtp_password) == (None, None)
    assert settings.log_format is LogFormat.JSON
    assert connection()["target_host"] == "temporal:7233"
    assert connection()["namespace"] == SERVICES["namespace"].environment["TEMPORAL_NAMESPACE"]
    assert connection()["namespace"] == SERVICES["ui"].environment["TEMPORAL_DEFAULT_NAMESPACE"]


def test_the_environment_of_the_api_is_complete_and_takes_the_events_of_the_sandbox(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = _settings(monkeypatch, "api", ApiSettings)
    assert settings.is_sandbox
    assert [secret.get_secret_value() for secret in settings.stripe_webhook_secrets] == [STRIPE_SECRET]
    assert [secret.get_secret_value() for secret in settings.easypost_webhook_secrets] == [WEBHOOK_SECRET]
    worker = SERVICES["worker"].environ()
    for name in ("STRIPE_API_KEY", "STRIPE_BASE_URL", "EASYPOST_API_KEY", "EASYPOST_BASE_URL"):
        assert SERVICES["api"].environ()[name] == worker[name]
    assert settings.log_format is LogFormat.JSON
    assert settings.database_url == SERVICES["worker"].environ()["DATABASE_URL"]
    assert connection()["target_host"] == SERVICES["worker"].environment["TEMPORAL_ADDRESS"]
    assert connection()["namespace"] == SERVICES["worker"].environment["TEMPORAL_NAMESPACE"]


def test_the_keys_of_the_api_are_those_of_the_sandbox_or_in_a_folder_of_ones_own(tmp_path: Path) -> None:
    """The file that is read is in the folder that is mounted; its keys are the ones that `make up` has."""
    assert _keys_file() == ROOT / "sandbox" / "keys" / "api_keys.toml"
    written = tmp_path / "api_keys.toml"
    written.write_text(sandbox_keys_file(), encoding="utf-8")
    assert load_keys(_keys_file(), sandbox=True) == load_keys(written, sandbox=True)
    assert _keys_file(API_KEYS_FOLDER="/srv/keys") == Path("/srv/keys/api_keys.toml")


def _keys_file(**given: str) -> Path:
    """Where the file is that the API's container reads."""
    (volume,) = SERVICES["api"].volumes
    folder, goal, mode = _interpolated(volume, given).split(":")
    read = Path(SERVICES["api"].environment["API_KEYS_FILE"])
    assert (read.parent, mode) == (Path(goal), "ro")
    return ROOT / folder / read.name


def test_given_webhook_secrets_replace_those_of_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(monkeypatch, "api", ApiSettings, STRIPE_WEBHOOK_SECRETS="", EASYPOST_WEBHOOK_SECRETS="mine")
    assert settings.stripe_webhook_secrets == ()
    assert [secret.get_secret_value() for secret in settings.easypost_webhook_secrets] == ["mine"]


def test_empty_addresses_lead_to_the_providers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = dict.fromkeys(["STRIPE_BASE_URL", "EASYPOST_BASE_URL", "UPS_BASE_URL", "UPS_TOKEN_URL"], "")
    settings = _settings(monkeypatch, "worker", WorkerSettings, **empty, STRIPE_API_KEY="sk_live")
    assert settings.stripe_api_key.get_secret_value() == "sk_live"
    for name in map(str.lower, empty):
        assert getattr(settings, name) == WorkerSettings.model_fields[name].default


def test_whom_ups_asks_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(monkeypatch, "worker", WorkerSettings, UPS_CONTACT_PHONE="+4930123456")
    assert settings.ups_contact_phone == "+4930123456"
    assert settings.ups_contact_name == WorkerSettings.model_fields["ups_contact_name"].default


def test_an_empty_address_and_key_mean_no_marketplace(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(monkeypatch, "worker", WorkerSettings, MARKETPLACE_BASE_URL="", MARKETPLACE_API_KEY="")
    assert (settings.marketplace_base_url, settings.marketplace_api_key) == (None, None)


def test_a_shop_on_vendure_is_in_place_of_the_built_in_orders_where_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert _settings(monkeypatch, "worker", WorkerSettings).vendure_url is None
    shop = {"VENDURE_URL": "https://shop.example/admin-api", "VENDURE_USERNAME": "a", "VENDURE_PASSWORD": "a-secret"}
    settings = _settings(monkeypatch, "worker", WorkerSettings, **shop)
    assert (settings.vendure_url, settings.vendure_channel) == ("https://shop.example/admin-api", None)
    assert settings.vendure_file is None


def test_the_file_of_a_shop_on_vendure_is_mounted_where_the_worker_reads_it() -> None:
    read = SERVICES["worker"].environ(VENDURE_FILE="./vendure.toml")["VENDURE_FILE"]
    (volume,) = SERVICES["worker"].volumes
    assert _interpolated(volume, {"VENDURE_FILE": "./vendure.toml"}) == f"./vendure.toml:{read}:ro"
    assert _interpolated(volume, {}).startswith("/dev/null:"), "there is always something to mount"


def _settings(monkeypatch: pytest.MonkeyPatch, service: str, kind: type[Settings], **given: str) -> Settings:
    for name in [*os.environ, *map(str.upper, kind.model_fields)]:
        if name.startswith("TEMPORAL_") or name.lower() in kind.model_fields:
            monkeypatch.delenv(name, raising=False)
    for name, value in SERVICES[service].environ(**given).items():
        assert name.startswith("TEMPORAL_") or name.lower() in kind.model_fields, f"{name} is no setting"
        monkeypatch.setenv(name, value)
    return kind()


def test_secrets_come_from_the_environment_of_compose_only() -> None:
    secret = {
        name.upper()
        for settings in (WorkerSettings, ApiSettings)
        for name, field in settings.model_fields.items()
        if SecretStr in _types(field.annotation)
    }
    assert {"STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRETS"} <= secret
    for name, service in SERVICES.items():
        for variable, value in service.environment.items():
            if variable in secret or re.search("PASSWORD|PWD|SECRET|KEY$", variable):
                assert re.fullmatch(r"\$\{\w+:?-[\w:-]*\}", value), f"{name}: {variable} is written out"


def _types(annotation: Any) -> set[Any]:
    return {annotation, *getattr(annotation, "__args__", ())}


def test_addresses_name_services_and_the_ports_they_listen_on() -> None:
    worker = SERVICES["worker"].environ()
    api = SERVICES["api"].environ()
    addresses = [f"smtp://{worker['SMTP_HOST']}:{worker['SMTP_PORT']}", worker["DATABASE_URL"]]
    both = [*worker.items(), *api.items()]
    addresses += [value for name, value in both if name.endswith(("_BASE_URL", "_TOKEN_URL"))]
    addresses += [
        f"grpc://{SERVICES[name].environment['TEMPORAL_ADDRESS']}" for name in ("namespace", "ui", "worker", "api")
    ]
    addresses += [_after("--webhook-url", SERVICES[name].command) for name in ("gateway", "carrier")]
    assert len(addresses) == 15
    for address in addresses:
        host, port = urlsplit(address).hostname, urlsplit(address).port
        assert port in _listening()[host or ""], f"nothing listens at {address}"


def test_ports_are_published_to_this_machine_only_and_are_listened_on() -> None:
    published = [(name, *port.split(":")) for name, service in SERVICES.items() for port in service.ports]
    assert {host for _, host, _, _ in published} == {"127.0.0.1"}
    for name, _, outside, inside in published:
        assert int(inside) in _listening()[name]
        assert outside == inside
    assert "postgres" not in {name for name, *_ in published}


def _listening() -> dict[str, set[int]]:
    ports: dict[str, set[int]] = {"postgres": {5432}, "temporal": {7233}, "ui": {8080}}
    ports["api"] = {int(SERVICES["api"].environment["API_PORT"])}
    for name in SANDBOX:
        ports[name] = {int(_after("--port", SERVICES[name].command))}
    return ports


def _after(option: str, command: Sequence[str]) -> str:
    return command[command.index(option) + 1]


def test_migrations_and_worker_use_the_database_that_the_server_makes() -> None:
    url = SERVICES["worker"].environ()["DATABASE_URL"]
    assert SERVICES["migrate"].environ()["DATABASE_URL"] == url
    assert urlsplit(url).path == f"/{SERVICES['postgres'].environment['POSTGRES_DB']}"
    assert urlsplit(url).password == SERVICES["postgres"].environ()["POSTGRES_PASSWORD"]
    assert open_engine(url).name == "postgresql"
    assert SERVICES["temporal"].environ()["POSTGRES_PWD"] == SERVICES["schema"].environ()["SQL_PASSWORD"]


@pytest.mark.parametrize(("name", "settings"), [("worker", WorkerSettings), ("api", ApiSettings)])
def test_a_stop_leaves_the_time_that_is_needed_to_drain(name: str, settings: type[BaseSettings]) -> None:
    grace = timedelta(seconds=int(SERVICES[name].stop_grace_period.removesuffix("s")))
    assert grace > settings.model_fields["graceful_shutdown"].default


def test_every_service_is_checked_or_runs_to_its_end_and_others_wait_for_just_that() -> None:
    assert {name for name, service in SERVICES.items() if service.healthcheck is None} == ONE_SHOT
    waits = [(goal, it.condition) for service in SERVICES.values() for goal, it in service.depends_on.items()]
    assert {goal for goal, _ in waits} >= ONE_SHOT
    for goal, condition in waits:
        assert condition == (COMPLETED if goal in ONE_SHOT else HEALTHY), goal
    for name, service in SERVICES.items():
        assert service.restart == ("no" if name in ONE_SHOT else "unless-stopped"), name


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_container_is_hardened(name: str) -> None:
    service = SERVICES[name]
    user, _, group = service.user.partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert service.read_only
    assert "/tmp" in service.tmpfs
    assert service.cap_drop == ["ALL"]
    assert service.cap_add == []
    assert not service.privileged
    assert service.security_opt == ["no-new-privileges:true"]
    for volume in service.volumes:
        source, _, rest = volume.partition(":")
        assert source in _compose()["volumes"] or rest.endswith(":ro"), volume


def test_what_the_server_is_given_to_read_is_there() -> None:
    source, goal, _ = SERVICES["temporal"].volumes[0].split(":")
    assert SERVICES["temporal"].environment["DYNAMIC_CONFIG_FILE_PATH"] == goal
    assert [*yaml.safe_load((ROOT / source).read_text(encoding="utf-8"))] == [
        "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute"
    ]


def test_images_are_pinned_and_temporal_is_the_release_that_the_tests_run_on() -> None:
    tags = dict(service.image.split(":") for service in SERVICES.values() if service.image)
    assert all(re.fullmatch(r"\d+\.\d+(\.\d+)?(-\w+)?", tag) for tag in tags.values()), tags
    versions = re.search(r"Server ([\d.]+), UI ([\d.]+)", _run(["temporal", "--version"]).stdout)
    assert versions is not None
    server, ui = versions.groups()
    assert (tags["temporalio/server"], tags["temporalio/admin-tools"], tags["temporalio/ui"]) == (server, server, ui)


def test_the_python_of_the_images_is_pinned_and_one_that_the_project_supports() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    pinned = re.search(r"^ARG PYTHON=python:(\d+\.\d+)\.\d+-slim-\w+$", dockerfile, re.MULTILINE)
    assert pinned is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">={pinned[1]}"
    installs = re.findall(r"^RUN pip .*install.*$", dockerfile, re.MULTILINE)
    assert len(installs) == 2
    assert all("--require-hashes" in line for line in installs)


async def _namespace(dev_server: WorkflowEnvironment, namespace: str) -> Client:
    """Run the script of `namespace` against the server of the tests, where the namespace does not exist yet."""
    address = dev_server.client.service_client.config.target_host
    service = SERVICES["namespace"]
    script = [_interpolated(word, {}) for word in (*service.entrypoint, *service.command)]
    answer = await asyncio.to_thread(_run, script, TEMPORAL_ADDRESS=address, TEMPORAL_NAMESPACE=namespace)
    assert answer.returncode == 0, answer.stderr
    return await Client.connect(address, namespace=namespace, plugins=[plugin()])


async def test_the_namespace_gets_the_search_attributes_and_may_get_them_again(dev_server: WorkflowEnvironment) -> None:
    for _ in range(2):
        client = await _namespace(dev_server, "compose-attributes")
        assert await search_attributes.missing(client) == []
    found = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    for key in search_attributes.ALL:
        kind = IndexedValueType.Name(found.custom_attributes[key.name])
        assert kind == f"INDEXED_VALUE_TYPE_{search_attributes.type_name(key).upper()}"


def test_the_namespace_is_set_up_by_the_command_that_the_worker_tells_people() -> None:
    script = " ".join(_interpolated(SERVICES["namespace"].command[0], {}).replace("\\\n", "").split())
    command = search_attributes.creating_command([key.name for key in search_attributes.ALL], "$TEMPORAL_NAMESPACE")
    assert command in script


async def test_the_worker_is_healthy_only_while_it_polls(dev_server: WorkflowEnvironment) -> None:
    client = await _namespace(dev_server, "compose-health")
    check = SERVICES["worker"].healthcheck
    assert check is not None

    async def healthy() -> bool:
        answer = await asyncio.to_thread(
            _run,
            check.test[1:],
            TEMPORAL_ADDRESS=client.service_client.config.target_host,
            TEMPORAL_NAMESPACE=client.namespace,
        )
        assert answer.returncode == 0 or answer.stderr.startswith("No worker of this host"), answer.stderr
        return answer.returncode == 0

    assert not await healthy()
    async with Worker(client, task_queue=TASK_QUEUE, workflows=[CancellationWorkflow]), asyncio.timeout(60):
        while not await healthy():
            pass


async def test_the_worker_is_unhealthy_when_temporal_does_not_answer() -> None:
    answer = await asyncio.to_thread(
        _run, ["python", "-m", "runtime.health"], TEMPORAL_ADDRESS=f"127.0.0.1:{_free_port()}"
    )
    assert answer.returncode == 1
    assert "Temporal does not answer" in answer.stderr


def _free_port() -> str:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return str(listening.getsockname()[1])


@pytest.mark.parametrize("name", SANDBOX)
def test_the_check_of_a_stand_in_passes_while_it_runs_and_only_then(name: str, tmp_path: Path) -> None:
    service = SERVICES[name]
    check = service.healthcheck
    assert check is not None
    (port,) = map(str, _listening()[name])
    free = _free_port()
    here = {"0.0.0.0": "127.0.0.1", port: free}
    assert {*here} <= {*service.command}
    command = [here.get(word, word).replace("/data/", f"{tmp_path}/") for word in service.command]
    process = Process(name, command, tmp_path / "log").start()
    try:
        assert _run([word.replace(port, free) for word in check.test[1:]]).returncode == 0
    finally:
        process.stop()
    assert _run([word.replace(port, free) for word in check.test[1:]]).returncode != 0


def test_the_api_runs_on_the_tables_of_migrate_and_its_check_passes_while_it_does(
    images: dict[str, Path], tmp_path: Path
) -> None:
    service = SERVICES["api"]
    assert service.build is not None
    assert service.healthcheck is not None
    port, free = service.environment["API_PORT"], _free_port()
    check = [word.replace(f":{port}/", f":{free}/") for word in service.healthcheck.test[1:]]
    environ = {
        **service.environ(),
        "API_HOST": "127.0.0.1",
        "API_PORT": free,
        "DATABASE_URL": f"sqlite:///{tmp_path}/db",
        "API_KEYS_FILE": str(_keys_file()),
    }
    folder = images[service.build.target]
    made = _run(["python", *SERVICES["migrate"].command], cwd=folder, DATABASE_URL=environ["DATABASE_URL"])
    assert made.returncode == 0, made.stderr
    process = subprocess.Popen(
        [BIN / "python", *service.command], cwd=folder, env=_environ(environ), stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        assert any(json.loads(line)["event"] == "api_started" for line in process.stderr)
        assert _run(check).returncode == 0
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert _run(check).returncode != 0
