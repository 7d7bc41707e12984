"""How to reach Temporal, by Temporal's own settings: `TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`,
`TEMPORAL_PROFILE`, … or its configuration file."""

from temporalio.envconfig import ClientConfig, ClientConnectConfig


def connection() -> ClientConnectConfig:
    """127.0.0.1:7233, namespace default, unless the environment says otherwise."""
    config = ClientConfig.load_client_connect_config()
    config.setdefault("target_host", "127.0.0.1:7233")
    return config
