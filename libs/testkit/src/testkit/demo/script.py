"""What the demo's campaign manager writes: contacts, and the sequence in its versions."""

import csv
from pathlib import Path
from typing import Any, Final

SEQUENCE: Final = "demo-onboarding"
CANARY: Final = "canary-7f3c2a9e"
"""Stands in every text of the sequence; after the deletion it must stand nowhere."""
FIRST_DELAY_SECONDS: Final = 6
SECOND_DELAY_SECONDS: Final = 6


def write_contacts(path: Path, count: int) -> None:
    """A CSV of contacts with an e-mail address and a WhatsApp number."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["contact_id", "first_name", "email", "whatsapp", "timezone"])
        for number in range(count):
            contact = f"c-{number:05d}"
            rows.writerow([contact, f"Name {number}", f"{contact}@example.com", f"+4915{number:09d}", "Europe/Berlin"])


def first_draft() -> dict[str, Any]:
    """What was written before lunch: one step."""
    return {"name": f"Onboarding {CANARY}", "campaign": "demo", "steps": [_welcome()]}


def definition(sink_http: str, *, edition: str) -> dict[str, Any]:
    """The whole sequence; `edition` stands in the last message, so that one sees who gets which."""
    return {
        "name": f"Onboarding {CANARY}",
        "campaign": "demo",
        "steps": [
            _welcome(),
            {
                "step_id": "tips",
                "after": f"{FIRST_DELAY_SECONDS}s",
                "message": {
                    "channel": "email",
                    "subject": "Three tips, {{ contact.first_name }}",
                    "text": f"Hi {{{{ contact.first_name }}}}, here they are. {CANARY}",
                },
            },
            {
                "step_id": "crm",
                "after": f"{SECOND_DELAY_SECONDS}s",
                "message": {
                    "channel": "webhook",
                    "url": f"{sink_http}/webhook/crm",
                    "json": {"contact": "{{ contact.id }}", "edition": edition, "note": CANARY},
                },
            },
        ],
    }


def _welcome() -> dict[str, Any]:
    return {
        "step_id": "welcome",
        "after": "0s",
        "message": {
            "channel": "whatsapp",
            "template": "welcome_1",
            "language": "en",
            "variables": {"1": "{{ contact.first_name }}"},
        },
    }
