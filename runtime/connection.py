"""How to reach Temporal, by Temporal's own settings: `TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`,
`TEMPORAL_PROFILE`, … or its configuration file."""

import os

from temporalio.envconfig import ClientConfig, ClientConnectConfig


def connection() -> ClientConnectConfig:
    """127.0.0.1:7233, namespace default, unless the environment says otherwise. Of the variables only its own are given to
    the SDK, which would panic where any other one is no UTF-8."""
    own = {name: value for name, value in os.environ.items() if name.startswith("TEMPORAL_")}
    config = ClientConfig.load_client_connect_config(override_env_vars=own)
    config.setdefault("target_host", "127.0.0.1:7233")
    return config
