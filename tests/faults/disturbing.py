"""What happens to the processes while a plan is run."""

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence

from tests.faults.plan import Disturbance, DisturbanceKind
from tests.faults.site import Site


class Disturber:
    """Disturbs one after the other, each when so many looks were taken at the runs. `hits`: those that met a process that
    had worked."""

    def __init__(self, site: Site, disturbances: Sequence[Disturbance]) -> None:
        self._site = site
        self._disturbances = disturbances
        self._looks = 0
        self._over = False
        self._looked = asyncio.Event()
        self.hits: Counter[str] = Counter()

    def count_look(self) -> None:
        self._looks += 1
        self._looked.set()

    async def _wait_for(self, looks: int) -> None:
        while self._looks < looks and not self._over:
            self._looked.clear()
            await self._looked.wait()

    async def run(self) -> None:
        for disturbance in self._disturbances:
            await self._wait_for(disturbance.looks)
            if self._over:
                return
            if await self._disturb(disturbance):
                self.hits[disturbance.kind.value] += 1

    async def end(self, running: asyncio.Task[None]) -> None:
        """What has begun is completed: nothing stays paused or locked."""
        self._over = True
        self._looked.set()
        await running

    async def _disturb(self, disturbance: Disturbance) -> bool:
        match disturbance.kind:
            case DisturbanceKind.KILL:
                return await self._site.replace_worker(disturbance.worker, signal.SIGKILL)
            case DisturbanceKind.STOP:
                return await self._site.replace_worker(disturbance.worker, signal.SIGTERM)
            case DisturbanceKind.PAUSE:
                return await self._site.pause_worker(disturbance.worker, disturbance.seconds)
            case DisturbanceKind.LOCK_DATABASE:
                return await self._site.lock_database(disturbance.seconds)
