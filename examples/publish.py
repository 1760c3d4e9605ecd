"""Publish commands: save a sequence, publish it, let one contact in, and stop it with proof."""

import asyncio
import json
from pathlib import Path

from sluice import CommandRefused, Sluice


async def main() -> None:
    async with Sluice(actor="crm") as sluice:
        await sluice.save("welcome", json.loads(Path(__file__).with_name("welcome.json").read_text()))
        print(f"version {(await sluice.publish('welcome')).version} is out")
        try:
            print(f"ada is in: {(await sluice.enroll('welcome', 'ada')).enrollment_id}")
        except CommandRefused as refused:
            print(f"ada was not let in: {refused}")
        paused = await sluice.pause("welcome", "a look at the numbers", wait="stopped")
        print(f"nothing leaves after {paused.state and paused.state.receipts and paused.state.receipts.halted_at}")


asyncio.run(main())
