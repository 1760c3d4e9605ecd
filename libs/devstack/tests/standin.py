"""A stand-in for a service, copied into a package of its name.

It answers about its health, notes what it was given, and misbehaves when told by a file.
"""

import http.server
import json
import os
import signal
import sys
from pathlib import Path


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        sick = self.path == "/livez" and told("sick")
        self.send_response(503 if sick else 200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


def told(what: str) -> bool:
    return Path(os.environ["STANDIN_FOLDER"], what).exists()


def main() -> None:
    name = Path(__file__).parent.name
    given = {key: value for key, value in os.environ.items() if key.startswith("SLUICE_")}
    Path(os.environ["STANDIN_FOLDER"], f"{name}-{sys.argv[1]}.json").write_text(json.dumps(given))
    if sys.argv[1] == "migrate":
        sys.exit("migration 0007 is broken" if told("no-migration") else 0)
    if told(f"no-{name}"):
        sys.exit("the settings are wrong")
    if told("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    http.server.HTTPServer(("127.0.0.1", int(os.environ["SLUICE_HEALTH_PORT"])), Health).serve_forever()


if __name__ == "__main__":
    main()
