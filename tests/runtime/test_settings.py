"""What the settings of the worker and of the API ask for."""

from hashlib import sha256

import pytest
from pydantic import ValidationError

from runtime.api_settings import ApiSettings
from runtime.settings import WorkerSettings, settings_error


@pytest.fixture(autouse=True)
def needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WorkerSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("STRIPE_API_KEY", "EASYPOST_API_KEY", "UPS_CLIENT_ID", "UPS_CLIENT_SECRET"):
        monkeypatch.setenv(name, "a-secret")


@pytest.mark.parametrize("given", [(), ("MARKETPLACE_BASE_URL", "MARKETPLACE_API_KEY")])
def test_a_marketplace_may_be_there_or_not(monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...]) -> None:
    for name in given:
        monkeypatch.setenv(name, "a-secret")
    settings = WorkerSettings()
    assert (settings.marketplace_base_url is None) == (settings.marketplace_api_key is None) == (not given)


@pytest.mark.parametrize("given", ["MARKETPLACE_BASE_URL", "MARKETPLACE_API_KEY"])
def test_half_a_marketplace_is_complained_about(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(given, "a-secret")
    with pytest.raises(ValidationError) as caught:
        WorkerSettings()
    sentence = settings_error(caught.value)
    assert "MARKETPLACE_BASE_URL and MARKETPLACE_API_KEY belong together: set both, or neither" in sentence
    assert "a-secret" not in sentence


def test_the_test_environment_of_ups_is_refused_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """F26: every intercept would be asked for of one parcel of UPS's own."""
    monkeypatch.setenv("UPS_TEST_ENVIRONMENT", "true")
    with pytest.raises(ValidationError) as caught:
        WorkerSettings()
    assert "set UPS_BASE_URL and UPS_TOKEN_URL to it" in settings_error(caught.value)
    monkeypatch.setenv("UPS_BASE_URL", "https://wwwcie.ups.com/api/deliveryintercept/v2")
    assert WorkerSettings().ups_test_environment


@pytest.mark.parametrize("key", ["sandbox", "refunds-1"])
def test_the_keys_of_the_sandbox_open_nothing_else(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """M35: everybody knows them, and a compose file that is given no others has them."""
    monkeypatch.setenv("API_KEYS", f"service:sandbox:{sha256(key.encode()).hexdigest()}")
    monkeypatch.delenv("STRIPE_BASE_URL", raising=False)
    with pytest.raises(ValidationError) as caught:
        ApiSettings()
    assert "make keys of your own" in settings_error(caught.value)
    monkeypatch.setenv("STRIPE_BASE_URL", "http://127.0.0.1:8001")
    assert ApiSettings().api_keys
