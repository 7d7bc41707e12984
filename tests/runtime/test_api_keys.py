"""The file of the API's keys: how strictly it is read, and what happens when it changes."""

import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from domain.money import money
from domain.request import ActorKind, ReasonCode
from runtime.api_keys import SANDBOX_KEYS, ApiKey, KeyFile, Role, digest_of, find_key, load_keys, sandbox_keys_file

ROOT = Path(__file__).resolve().parents[2]
DIGEST = digest_of("a key that is long and random")
OTHER = digest_of("another key")


def entry(*lines: str, digest: str = DIGEST, role: str = "service", key_id: str = "shop") -> str:
    return "\n".join(["[[key]]", f'id = "{key_id}"', f'role = "{role}"', f'sha256 = "{digest}"', *lines, ""])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "api_keys.toml"


def test_a_key_may_be_bounded_and_expire(path: Path) -> None:
    path.write_text(
        entry(
            "expires = 2027-01-31",
            'actors = ["customer"]',
            'reasons = ["no_longer_needed", "other"]',
            'at_most = "100.00 USD"',
        )
    )
    [key] = load_keys(path, sandbox=False)
    assert (key.id, key.role, key.at_most) == ("shop", Role.SERVICE, money("100.00 USD"))
    assert key.kinds == {ActorKind.CUSTOMER}
    assert key.may_give(ReasonCode.OTHER)
    assert not key.may_give(ReasonCode.OUT_OF_STOCK)
    assert not key.has_expired(datetime(2027, 1, 31, 23, 59, tzinfo=UTC)), "a day is over when it is over in UTC"
    assert key.has_expired(datetime(2027, 2, 1, tzinfo=UTC))


def test_a_key_without_bounds_may_what_its_role_may(path: Path) -> None:
    path.write_text(entry() + entry(digest=OTHER, role="customer_service", key_id="A-3"))
    service, person = load_keys(path, sandbox=False)
    assert service.kinds == {ActorKind.CUSTOMER, ActorKind.SYSTEM}
    assert person.kinds == {ActorKind.CUSTOMER_SERVICE}
    assert all(service.may_give(reason) for reason in ReasonCode)
    assert not service.has_expired(datetime(2999, 1, 1, tzinfo=UTC))


def test_an_instant_of_another_offset_is_the_same_instant(path: Path) -> None:
    path.write_text(entry("expires = 2027-01-31T01:00:00+01:00"))
    [key] = load_keys(path, sandbox=False)
    assert key.has_expired(datetime(2027, 1, 31, tzinfo=UTC))


def test_a_key_may_expire_at_the_end_of_time(path: Path) -> None:
    """How many people write "never"."""
    path.write_text(entry("expires = 9999-12-31"))
    [key] = load_keys(path, sandbox=False)
    assert not key.has_expired(datetime(9999, 12, 31, tzinfo=UTC))


def test_when_a_key_expired_is_said_in_utc(path: Path) -> None:
    path.write_text(entry("expires = 2027-01-31T01:00:00+01:00"))
    [key] = load_keys(path, sandbox=False)
    assert f"{key.expires:%Y-%m-%d %H:%M}" == "2027-01-31 00:00"


def test_a_byte_order_mark_is_no_part_of_the_file(path: Path) -> None:
    """Editors of Windows put one before it."""
    path.write_bytes(b"\xef\xbb\xbf" + entry().encode())
    assert [key.id for key in load_keys(path, sandbox=False)] == ["shop"]


@pytest.mark.parametrize("value", ["[" * 5_000, "9" * 5_000], ids=["brackets", "digits"])
def test_what_the_parser_gives_up_on_changes_nothing_either(path: Path, value: str) -> None:
    """And is said: otherwise a key that was to be revoked stays in force, and nobody knows."""
    path.write_text(entry())
    keys = KeyFile(path, sandbox=False)
    path.write_text(f"at_most = {value}")
    assert [key.id for key in keys.current()] == ["shop"]
    assert keys.problem
    assert "API_KEYS_FILE" in keys.problem
    assert "999" not in keys.problem


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "key: it is missing"),
        ("key = []", "key: name at least 1."),
        ("[[key]]\nid = canary", "it is no TOML at line 2, column 6"),
        (entry("scope = 1"), "key.0.scope: there is no such field"),
        (entry(digest="canary"), "key.0.sha256: write what `printf %s KEY | sha256sum` makes of the key"),
        (entry(role="admin"), "key.0.role: it has to be one of 'service'"),
        (entry(key_id="Jo Canary"), "key.0.id: an id is 1 to 64 letters"),
        (entry("expires = 2027"), "key.0.expires: write a day or an instant"),
        (entry("expires = 2027-01-31T12:00:00"), "key.0.expires: write a day or an instant"),
        (entry('expires = "2027-01-31"'), "key.0.expires: write a day or an instant"),
        (entry("actors = []"), "key.0.actors: name at least 1;"),
        (
            entry('actors = ["risk"]'),
            "key.0: a key of the role service cannot speak as risk; it can as customer, system",
        ),
        (
            entry('actors = ["customer"]', role="customer_service"),
            "cannot speak as customer; it can as customer_service",
        ),
        (entry('reasons = ["bored"]'), "key.0.reasons.0: it has to be one of 'no_longer_needed'"),
        (entry("at_most = 100"), "key.0.at_most: write an amount in quotes"),
        (entry('at_most = "-1.00 USD"'), "key.0: at_most is an amount of 0 or more"),
        (entry() + entry(key_id="twice"), "the keys shop and twice are the same"),
    ],
)
def test_what_is_wrong_is_named_with_the_file_and_never_with_a_digest(path: Path, text: str, says: str) -> None:
    path.write_text(text)
    with pytest.raises(ValueError, match="API_KEYS_FILE") as caught:
        load_keys(path, sandbox=False)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    for secret in (DIGEST, "canary", "Canary"):
        assert secret not in str(caught.value)


def test_the_documented_files_are_such_files(tmp_path: Path) -> None:
    """The one that shows everything, and the one that the documented commands write."""
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    shown, commands = re.search(r"```toml\n(\[\[key\]\].*?)```.*?```\n(.*?)```", page, re.DOTALL).groups()  # type: ignore[union-attr]
    written = tmp_path / ".run" / "api_keys.toml"
    written.parent.mkdir()
    written.write_text(shown.replace("…", DIGEST))
    [bounded] = load_keys(written, sandbox=False)
    assert bounded.model_dump(exclude={"sha256"}, exclude_none=True).keys() == ApiKey.model_fields.keys() - {"sha256"}
    *making, start, _, _ = commands.splitlines()
    subprocess.run(["bash", "-e", "-c", "\n".join(making)], cwd=tmp_path, check=True)
    [made] = load_keys(written, sandbox=False)
    assert (made.id, made.role) == ("shop", Role.SERVICE)
    assert start.startswith("API_KEYS_FILE=.run/api_keys.toml ")


@pytest.mark.parametrize("given", [None, b"\xff"], ids=["missing", "not UTF-8"])
def test_a_file_that_cannot_be_read_is_one_sentence(path: Path, given: bytes | None) -> None:
    if given is not None:
        path.write_bytes(given)
    with pytest.raises(ValueError, match="The keys of API_KEYS_FILE"):
        KeyFile(path, sandbox=False)


@pytest.mark.parametrize("key", SANDBOX_KEYS)
def test_the_keys_of_the_sandbox_open_nothing_else(path: Path, key: str) -> None:
    """M35: everybody knows them, and a compose file that is given no others has them."""
    path.write_text(sandbox_keys_file())
    assert find_key(load_keys(path, sandbox=True), key)
    path.write_text(entry(digest=digest_of(key)))
    with pytest.raises(ValueError, match="make keys of your own"):
        load_keys(path, sandbox=False)


def test_a_key_is_revoked_without_a_restart(path: Path) -> None:
    path.write_text(entry() + entry(digest=OTHER, key_id="other"))
    keys = KeyFile(path, sandbox=False)
    assert {key.id for key in keys.current()} == {"shop", "other"}
    path.write_text(entry(digest=OTHER, key_id="other"))
    assert {key.id for key in keys.current()} == {"other"}
    replacing = path.with_name("new.toml")
    replacing.write_text(entry(key_id="third"))
    replacing.replace(path)
    assert {key.id for key in keys.current()} == {"third"}


def test_a_change_that_cannot_be_used_leaves_the_last_good_keys_in_force_and_is_logged_once(path: Path) -> None:
    structlog.reset_defaults()
    path.write_text(entry())
    keys = KeyFile(path, sandbox=False)
    with capture_logs() as logged:
        for text in ("[[key]", sandbox_keys_file()):
            path.write_text(text)
            for _ in range(3):
                assert [key.id for key in keys.current()] == ["shop"]
                assert keys.problem
        path.unlink()
        for _ in range(3):
            assert [key.id for key in keys.current()] == ["shop"]
        path.write_text(entry(key_id="back"))
        assert [key.id for key in keys.current()] == ["back"]
        assert keys.problem is None
    events = [(line["log_level"], line["event"]) for line in logged]
    assert events == [("error", "api_keys_not_read")] * 3 + [("info", "api_keys_read")]
    assert all(DIGEST not in str(line) for line in logged)


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [(entry(), 0, "1 keys"), ("key = []", 1, "are not valid: key: name at least 1.")],
    ids=["right", "empty"],
)
def test_the_documented_command_checks_a_file_before_it_is_moved(path: Path, text: str, code: int, says: str) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    [command] = [line for line in page.splitlines() if "load_keys" in line]
    _, *arguments = shlex.split(command)
    path.write_text(text)
    done = subprocess.run(
        [sys.executable, *arguments[:-1], path], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
