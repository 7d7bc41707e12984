"""What the settings of the worker and of the API ask for."""

import pytest
from pydantic import ValidationError

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


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"VENDURE_URL": "https://shop.example/admin-api"}, "belong together: set all three, or none"),
        ({"VENDURE_FILE": "vendure.toml"}, "VENDURE_CHANNEL and VENDURE_FILE need VENDURE_URL"),
        (
            {"VENDURE_URL": "shop.example", "VENDURE_USERNAME": "a", "VENDURE_PASSWORD": "a-secret"},
            "VENDURE_URL is no address: write it as https://shop.example/admin-api",
        ),
    ],
)
def test_half_a_shop_on_vendure_is_complained_about(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], says: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        WorkerSettings()
    assert says in settings_error(caught.value)
    assert "a-secret" not in settings_error(caught.value)


def test_the_test_environment_of_ups_is_refused_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """F26: every intercept would be asked for of one parcel of UPS's own."""
    monkeypatch.setenv("UPS_TEST_ENVIRONMENT", "true")
    with pytest.raises(ValidationError) as caught:
        WorkerSettings()
    assert "set UPS_BASE_URL and UPS_TOKEN_URL to it" in settings_error(caught.value)
    monkeypatch.setenv("UPS_BASE_URL", "https://wwwcie.ups.com/api/deliveryintercept/v2")
    assert WorkerSettings().ups_test_environment


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("LOG_LEVEL", "debug", "it has to be one of 'DEBUG', 'INFO', 'WARNING', 'ERROR'"),
        ("UPS_CONTACT_PHONE", "none", "write a telephone number such as +15551234567"),
        ("MAX_CACHED_WORKFLOWS", "-1", "it has to be at least 0"),
        ("SMTP_PORT", "mail", "a whole number is needed"),
        ("GRACEFUL_SHUTDOWN", "soon", "write a duration such as PT12H or P3D"),
        ("VENDURE_CHANNEL", "händler", "write letters, digits and signs of ASCII"),
        ("STRIPE_API_KEY", "sk_“live”", "write letters, digits and signs of ASCII"),
        ("MARKETPLACE_API_KEY", "a\nb", "write letters, digits and signs of ASCII"),
    ],
)
def test_what_is_wrong_with_a_setting_is_said_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, name: str, given: str, says: str
) -> None:
    monkeypatch.setenv(name, given)
    with pytest.raises(ValidationError) as caught:
        WorkerSettings()
    assert f"  {name}: {says}\n" in settings_error(caught.value)
