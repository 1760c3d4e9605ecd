"""Run the sink until SIGTERM or SIGINT: `python -m devstack.sink --http-port 8025 --file arrivals.jsonl`."""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

import orjson

from devstack.sink.book import CHANNELS
from devstack.sink.server import Sink, SinkSettings


def settings_from(arguments: list[str]) -> SinkSettings:
    """Flags decide, then the environment (`SLUICE_SINK_…`), then the defaults."""
    parser = argparse.ArgumentParser(prog="python -m devstack.sink", description=__doc__)
    parser.add_argument("--host", default=_from_environment("HOST", "127.0.0.1"), help="default: loopback only")
    parser.add_argument("--http-port", type=int, default=_from_environment("HTTP_PORT", "0"), help="0: any free port")
    parser.add_argument("--smtp-port", type=int, default=_from_environment("SMTP_PORT", "0"), help="0: any free port")
    parser.add_argument("--file", type=Path, default=_from_environment("FILE", "arrivals.jsonl"))
    parser.add_argument(
        "--keep-bodies", action="store_true", default=_from_environment("KEEP_BODIES", "") in ("1", "true")
    )
    parser.add_argument(
        "--idempotent",
        default=_from_environment("IDEMPOTENT", "webhook"),
        help=f"channels that honour idempotency keys, of {', '.join(CHANNELS)}; empty: none",
    )
    parsed = parser.parse_args(arguments)
    idempotent = tuple(name for name in parsed.idempotent.split(",") if name)
    if not set(idempotent) <= set(CHANNELS):
        parser.error(f"--idempotent takes {', '.join(CHANNELS)}")
    return SinkSettings(
        file=parsed.file,
        host=parsed.host,
        http_port=parsed.http_port,
        smtp_port=parsed.smtp_port,
        keep_bodies=parsed.keep_bodies,
        idempotent=idempotent,
    )


async def serve(settings: SinkSettings) -> None:
    """Listen, say where in one line of JSON, and stop when told."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sink = Sink(settings)
    await sink.start()
    told = {
        "event": "sink_listening",
        "host": settings.host,
        "http_port": sink.http_port,
        "smtp_port": sink.smtp_port,
        "file": str(settings.file),
    }
    sys.stdout.write(orjson.dumps(told).decode() + "\n")
    sys.stdout.flush()
    await stop.wait()
    await sink.stop()


def main() -> int:
    settings = settings_from(sys.argv[1:])
    try:
        asyncio.run(serve(settings))
    except OSError as error:
        sys.stderr.write(f"The sink cannot start: {error.strerror or error}.\n")
        return 1
    return 0


def _from_environment(name: str, default: str) -> str:
    return os.environ.get(f"SLUICE_SINK_{name}", default)


if __name__ == "__main__":
    sys.exit(main())
