"""Settings, from the environment. How to reach Temporal is in runtime/connection.py."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.base import problems_of
from runtime.logs import LogFormat, LogLevel

# The environment holds text, and pydantic takes only numbers for seconds.
Seconds = Annotated[
    timedelta, BeforeValidator(lambda given: float(given) if isinstance(given, str) and given.isdecimal() else given)
]


class WorkerSettings(BaseSettings):
    """Settings of `worker.py`. A base URL that is not set means the provider's own."""

    model_config = SettingsConfigDict(hide_input_in_errors=True, extra="ignore", env_ignore_empty=True)

    database_url: str = "sqlite:///.run/cancellations.sqlite"
    policy_file: Path = Path("policy.toml")

    vendure_url: str | None = None
    """Of Vendure's Admin API. Without it orders are in the built-in order management system."""
    vendure_username: str | None = None
    vendure_password: SecretStr | None = None
    vendure_channel: str | None = None
    """The token of a channel; None means the default one."""
    vendure_file: Path | None = None

    stripe_api_key: SecretStr
    stripe_base_url: str | None = None
    easypost_api_key: SecretStr
    easypost_base_url: str | None = None
    ups_client_id: str
    ups_client_secret: SecretStr
    ups_base_url: str = "https://onlinetools.ups.com/api/deliveryintercept/v2"
    ups_contact_name: str = Field(default="Shipping department", max_length=30)
    ups_contact_phone: str = Field(default="+10000000000", pattern=r"^\+[0-9]{1,13}$")
    """Whom UPS asks about an intercept: set both before the first real one."""
    ups_token_url: str = "https://onlinetools.ups.com/security/v1/oauth/token"  # noqa: S105 - an address
    ups_test_environment: bool = False
    """Every intercept is asked for in UPS's test environment, of the parcel that it knows there."""
    marketplace_base_url: str | None = None
    marketplace_api_key: SecretStr | None = None
    """Both or neither: without them no order is sold on a marketplace."""
    marketplace_reason_code: str | None = None
    """The marketplace's own code for what a seller cancels; None means those that Mirakl starts with."""
    marketplace_orders_every: Seconds = timedelta(minutes=1)
    """Between two calls of the marketplace's list of orders, of each worker. Seconds or ISO 8601."""
    smtp_host: str = "127.0.0.1"
    smtp_port: int = 25
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_start_tls: bool = False
    mail_sender: str = "orders@shop.example"

    max_cached_workflows: int = Field(default=1_000, ge=0)
    """How many runs stay in memory, at up to 200 KiB each. One that does not is read again from its history when something
    happens to it."""

    log_format: LogFormat = LogFormat.CONSOLE
    log_level: LogLevel = LogLevel.INFO
    graceful_shutdown: Seconds = timedelta(seconds=45)
    """Longer than the longest attempt of a step, so that a stop loses nothing. Seconds or ISO 8601."""

    @field_validator("stripe_api_key", "easypost_api_key", "marketplace_api_key", "vendure_channel")
    @classmethod
    def _fits_into_a_header(cls, given: SecretStr | str | None) -> SecretStr | str | None:
        text = given.get_secret_value() if isinstance(given, SecretStr) else given or ""
        if not (text.isascii() and text.isprintable()):
            raise ValueError("write letters, digits and signs of ASCII")
        return given

    @model_validator(mode="after")
    def _no_test_in_production(self) -> "WorkerSettings":
        if self.ups_test_environment and "//onlinetools.ups.com/" in self.ups_base_url:
            raise ValueError(
                "UPS_TEST_ENVIRONMENT is for UPS's test environment: set UPS_BASE_URL and UPS_TOKEN_URL to it "
                "(https://wwwcie.ups.com/…), or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _vendure_is_complete(self) -> "WorkerSettings":
        if len({self.vendure_url is None, self.vendure_username is None, self.vendure_password is None}) > 1:
            raise ValueError(
                "VENDURE_URL, VENDURE_USERNAME and VENDURE_PASSWORD belong together: set all three, or none"
            )
        if self.vendure_url is None and (self.vendure_channel or self.vendure_file):
            raise ValueError("VENDURE_CHANNEL and VENDURE_FILE need VENDURE_URL: set it too, or leave them out")
        if self.vendure_url and not self.vendure_url.startswith(("https://", "http://")):
            raise ValueError("VENDURE_URL is no address: write it as https://shop.example/admin-api")
        return self

    @model_validator(mode="after")
    def _marketplace_is_complete(self) -> "WorkerSettings":
        if (self.marketplace_base_url is None) != (self.marketplace_api_key is None):
            raise ValueError("MARKETPLACE_BASE_URL and MARKETPLACE_API_KEY belong together: set both, or neither")
        return self


def settings_error(error: ValidationError) -> str:
    """What is wrong with the settings, a line for each variable, or for some that do not go together."""
    lines = []
    for place, why in problems_of(error):
        lines.append(f"  {place.upper()}: {why}" if place else f"  {why}")
    advice = "Set them in the environment; docs/configuration.md lists them."
    return "\n".join(["The settings are not complete:", *lines, advice])
