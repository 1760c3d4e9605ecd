"""Follow every sequence from `sequences.events` alone, however late this program is started."""

import asyncio

from sluice import Sluice


async def main() -> None:
    versions: dict[str, int] = {}
    async with Sluice() as sluice:
        async for event in sluice.events("sequences.events", start="earliest"):
            if event.gone:
                versions.pop(event.key, None)
                print(f"{event.key} is gone")
            elif event.data["state_version"] > versions.get(event.key, -1):
                versions[event.key] = event.data["state_version"]
                print(f"{event.key} is {event.data['status']} ({event.name}, epoch {event.data['epoch']})")


asyncio.run(main())
