"""How the demo and the tests start and steer the carrier stand-in."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import httpx2
from pydantic import TypeAdapter

from sandbox.carrier.model import (
    Advance,
    Effect,
    Fault,
    FaultKind,
    Health,
    LabelledParcel,
    ManualScan,
    NewParcel,
    Operation,
    Script,
    TrackerStatus,
)
from sandbox.serving import Process

_EFFECTS = TypeAdapter(list[Effect])
_CALLS = TypeAdapter(dict[str, int])


def carrier_process(
    folder: Path, *, port: int = 0, webhook_url: str | None = None, scan_seconds: float | None = None
) -> Process:
    """The process, not started yet. Started again on the same folder it knows everything that it knew."""
    argv = ["-m", "sandbox.carrier", "--port", str(port), "--data", str(folder / "carrier.sqlite")]
    if webhook_url is not None:
        argv += ["--webhook-url", webhook_url]
    if scan_seconds is not None:
        argv += ["--scan-seconds", str(scan_seconds)]
    folder.mkdir(parents=True, exist_ok=True)
    return Process("carrier", argv, folder / "carrier.log")


class CarrierAdmin:
    """Client of `/sandbox`. `easypost_url` and `ups_url` are what the two adapters are given as base URLs."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.easypost_url = f"{url}/v2"
        self.ups_url = url
        self._http = httpx2.AsyncClient(base_url=f"{url}/sandbox", timeout=10)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def now(self) -> datetime:
        answer = (await self._http.get("/health")).raise_for_status()
        return Health.model_validate_json(answer.content).now

    async def advance(self, seconds: float) -> datetime:
        """Advance the clock; what it brings about has happened when this returns."""
        answer = await self._http.post("/clock/advance", json=Advance(seconds=seconds).model_dump())
        return Health.model_validate_json(answer.raise_for_status().content).now

    async def effects(self, shipment_id: str | None = None) -> list[Effect]:
        """Every effect that was ever committed, oldest first; of one shipment when it is named."""
        answer = (await self._http.get("/effects")).raise_for_status()
        effects = _EFFECTS.validate_json(answer.content)
        return [effect for effect in effects if shipment_id in {None, effect.object}]

    async def calls(self, shipment_id: str | None = None) -> dict[str, int]:
        """How often each operation was called: about one shipment, or in all, where those that make one count too."""
        answer = await self._http.get("/calls", params={"parcel": shipment_id} if shipment_id else {})
        return _CALLS.validate_json(answer.raise_for_status().content)

    async def parcel(self, script: Script, reference: str | None = None) -> LabelledParcel:
        """A parcel with its label bought, in the state where its script starts."""
        body = NewParcel(script=script, reference=reference)
        answer = await self._http.post("/parcels", json=body.model_dump())
        return LabelledParcel.model_validate_json(answer.raise_for_status().content)

    async def scan(self, parcel: str, status: TrackerStatus, *, ago: timedelta = timedelta()) -> None:
        """`parcel` is a shipment id, a tracking number or a reference. A scan of long `ago` is reported only now."""
        body = ManualScan(status=status, seconds_ago=ago.total_seconds())
        (await self._http.post(f"/parcels/{parcel}/scan", json=body.model_dump())).raise_for_status()

    async def add_fault(
        self,
        operation: Operation,
        fault: FaultKind,
        *,
        times: int = 1,
        after: int = 0,
        parcel: str | None = None,
        seconds: int = 2,
    ) -> None:
        """Let the next `times` calls of the operation fail, `after` some that do not, for one shipment or for any."""
        body = Fault(operation=operation, fault=fault, times=times, after=after, parcel=parcel, seconds=seconds)
        (await self._http.post("/faults", json=body.model_dump())).raise_for_status()

    async def faults_left(self, parcel: str) -> int:
        """How many times faults will still meet calls about this shipment: zero once the last of them has begun."""
        return int((await self._http.get(f"/parcels/{parcel}/faults")).raise_for_status().json())

    async def clear_faults(self, parcel: str | None = None) -> None:
        """Take every fault back, or those of one shipment."""
        (await self._http.delete("/faults", params={"parcel": parcel} if parcel else {})).raise_for_status()
