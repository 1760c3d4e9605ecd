"""Ask this container's health port: `probe.py /livez`. 0 where it answers 200, else 1.

Nothing but a socket: a probe runs every few seconds in every container, and importing an HTTP client costs more than
asking.
"""

import os
import socket
import sys
from typing import Final

SECONDS_MAX: Final = 3.0


def main() -> int:
    path = sys.argv[1] if len(sys.argv) > 1 else "/livez"
    port = int(os.environ.get("SLUICE_HEALTH_PORT", "8080"))
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS_MAX) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while part := connection.recv(4096):
                answer += part
    except OSError as error:
        sys.stdout.write(f"{path} on port {port}: {error}\n")
        return 1
    head, _, body = answer.partition(b"\r\n\r\n")
    sys.stdout.write(body.decode(errors="replace") + "\n")
    return 0 if b" 200 " in head.partition(b"\r\n")[0] else 1


if __name__ == "__main__":
    sys.exit(main())
