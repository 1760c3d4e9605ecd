"""Publish commands: save a sequence, publish it, let one contact in, and stop it with proof."""

import asyncio
import json
from pathlib import Path

from sluice import CommandRefused, Sluice


async def main() -> None:
    definition = json.loads(Path(__file__).with_name("welcome.json").read_text())
    async with Sluice(actor="crm") as sluice:
        saved = await sluice.save("welcome", definition)
        published = await sluice.publish("welcome", saved.revision)
        print(f"version {published.version} is out")
        try:
            enrolled = await sluice.enroll("welcome", "ada")
            print(f"ada is in: {enrolled.enrollment_id}")
        except CommandRefused as refused:
            print(f"ada was not let in: {refused}")
        paused = await sluice.pause("welcome", "a look at the numbers", wait="stopped")
        if paused.stopped and paused.state and paused.state.receipts:
            print(f"nothing leaves after {paused.state.receipts.halted_at}")


asyncio.run(main())
