"""Addresses in the environment lead through the proxies: SLUICE_FAULTS_WAYS, JSON, `{role: {port: port}}`."""

import os
import re
from typing import Final

import orjson

NAMED: Final = ("SLUICE_KAFKA_BOOTSTRAP_SERVERS", "SLUICE_DATABASE_URL", "SLUICE_EMAIL_PORT")
_PORT: Final = re.compile(r"(?<![0-9])[0-9]{4,5}(?![0-9])")


def lead(role: str) -> None:
    """Before anything reads them."""
    own = orjson.loads(os.environ.get("SLUICE_FAULTS_WAYS", "{}")).get(role, {})
    for name in NAMED:
        if name in os.environ:
            head, at, tail = os.environ[name].rpartition("@")  # a password may hold what looks like a port
            os.environ[name] = head + at + _PORT.sub(lambda found: str(own.get(found[0], found[0])), tail)
