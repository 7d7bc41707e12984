"""What the adapters of our own books have in common: each method is one transaction, or one statement that reads, also where
it is about several of them."""

from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from providers.database.engine import looking, reading, writing


class SqlAdapter:
    """SQLite or PostgreSQL, by the engine's URL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._looks = async_sessionmaker(looking(engine), expire_on_commit=False)
        self._reads = async_sessionmaker(reading(engine), expire_on_commit=False)
        self._writes = async_sessionmaker(writing(engine), expire_on_commit=False)
