"""Settings of `api.py`, from the environment."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from runtime.logs import LogFormat, LogLevel
from runtime.settings import Seconds


def _words(value: Any) -> Any:
    return value.split() if isinstance(value, str) else value


class ApiSettings(BaseSettings):
    """Several secrets are written with spaces between them: while one is replaced, both the old and the new one are valid.
    Without a webhook secret the provider's webhooks are refused; without its API key nobody looks for those that never came.
    API keys and base URLs of providers mean the same as for the worker, and so does the policy file."""

    model_config = SettingsConfigDict(hide_input_in_errors=True, extra="ignore", env_ignore_empty=True)

    database_url: str = "sqlite:///.run/cancellations.sqlite"
    api_host: str = "127.0.0.1"
    api_port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """0 takes a free one."""
    api_keys_file: Path
    policy_file: Path = Path("policy.toml")
    stripe_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_words)] = ()
    easypost_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_words)] = ()
    stripe_api_key: SecretStr | None = None
    stripe_base_url: str | None = None
    easypost_api_key: SecretStr | None = None
    easypost_base_url: str | None = None
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)] = ()
    """Origins whose pages may call the API from a browser, `https://desk.shop.example` say."""
    reconcile_every: Annotated[Seconds, Field(gt=timedelta(0))] = timedelta(minutes=5)
    """How often the providers whose key is set are asked for events that never came. Seconds or ISO 8601."""
    decision_wait: Annotated[Seconds, Field(gt=timedelta(0), le=timedelta(seconds=30))] = timedelta(seconds=10)
    """How long a request waits for the decision before the answer is 202. Seconds or ISO 8601."""
    graceful_shutdown: Annotated[Seconds, Field(gt=timedelta(0))] = timedelta(seconds=40)
    """How long requests in flight may take after SIGTERM; longer than any waits for an answer."""

    log_format: LogFormat = LogFormat.CONSOLE
    log_level: LogLevel = LogLevel.INFO

    @property
    def is_sandbox(self) -> bool:
        """Without its stand-in the gateway is the real one."""
        return self.stripe_base_url is not None
