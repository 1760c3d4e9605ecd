"""Check docker-compose.yml against the Compose specification's JSON schema, and with each compose that is here."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

FILE: Final = Path("docker-compose.yml")
SECONDS_MAX: Final = 60.0
COMPOSES: Final = (("docker", "compose"), ("docker-compose",), ("podman", "compose"), ("podman-compose",))


def main() -> int:
    """0 where the schema and every compose accept the file."""
    if not FILE.is_file():
        print(f"{FILE} is missing.")
        return 1
    schema = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    accepted = [_accepts("the Compose specification", schema)]
    found = [compose for compose in COMPOSES if _checks(compose)]
    accepted += [_accepts(" ".join(compose), [*compose, "-f", str(FILE), "config", "--quiet"]) for compose in found]
    if not found:
        print("No compose that could check it is on this machine, so only the schema was.")
    return 0 if all(accepted) else 1


def _checks(compose: tuple[str, ...]) -> bool:
    """Whether it is here and knows `config`, which podman-compose 1.0 does not."""
    if shutil.which(compose[0]) is None:
        return False
    return all(_run([*compose, *asked]).returncode == 0 for asked in (["version"], ["config", "--help"]))


def _accepts(who: str, command: list[str]) -> bool:
    done = _run(command)
    print(f"{FILE}: {'accepted' if done.returncode == 0 else 'refused'} by {who}")
    if done.returncode != 0:
        print((done.stdout + done.stderr).strip())
    return done.returncode == 0


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=SECONDS_MAX
    )


if __name__ == "__main__":
    sys.exit(main())
