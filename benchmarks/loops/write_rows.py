"""One of the hand-written loops of `raw`: it connects, makes ready, waits for the start, and writes its share."""

import asyncpg

from benchmarks import raw, workload
from benchmarks.loops.process import run, say, told


async def main() -> None:
    """Say when it is ready, and when it is done."""
    settings = told()
    knowing, share = settings["knowing"], settings["share"]
    ids = workload.contact_ids(settings["count"])
    rows = raw.prepared(ids) if knowing or settings["what"] == "import" else []
    conn = await asyncpg.connect(
        settings["url"], server_settings={"search_path": settings["schema"], "timezone": "UTC", "jit": "off"}
    )
    say(ready=True)
    await conn.execute("select pg_advisory_lock_shared($1)", raw.START_LOCK)
    if settings["what"] == "import":
        size = raw.IMPORTS_PER_BATCH
        starts = range(share * size, len(rows), raw.LOOPS * size)
        await raw.write_imports(conn, (rows[start : start + size] for start in starts), knowing=knowing)
    elif knowing:
        await raw.write_sends_knowing(conn, rows)
    else:
        await raw.write_sends(conn)
    await conn.close()
    say(done=True)


if __name__ == "__main__":
    run(main())
