"""The topics by name, and what sets them apart. Partitions and retention stand in deploy/kafka/topics.yaml."""

from typing import Final

SEQUENCES_COMMANDS: Final = "sequences.commands"
SEQUENCES_ANSWERS: Final = "sequences.answers"
SEQUENCES_EVENTS: Final = "sequences.events"
SEQUENCES_VERSIONS: Final = "sequences.versions"
SEQUENCES_CONTROL: Final = "sequences.control"
CONTACTS_EVENTS: Final = "contacts.events"
CONTACTS_ACTIVITY: Final = "contacts.activity"
ENROLLMENT_COMMANDS: Final = "enrollment.commands"
ENROLLMENT_REMOVALS: Final = "enrollment.removals"
ENROLLMENT_IMPORTS: Final = "enrollment.imports"
ENROLLMENT_ANSWERS: Final = "enrollment.answers"
ENROLLMENT_EVENTS: Final = "enrollment.events"
ENROLLMENT_CONTROL: Final = "enrollment.control"
DELIVERY_COMMANDS: Final = "delivery.commands"
DELIVERY_ANSWERS: Final = "delivery.answers"
DELIVERY_EVENTS: Final = "delivery.events"
DELIVERY_BOOKS: Final = "delivery.books"
DELIVERY_CONTROL: Final = "delivery.control"
ERASURE_RECEIPTS: Final = "erasure.receipts"
SEQUENCES_QUARANTINE: Final = "sequences.quarantine"
ENROLLMENT_QUARANTINE: Final = "enrollment.quarantine"
DELIVERY_QUARANTINE: Final = "delivery.quarantine"
CONSOLE_QUARANTINE: Final = "console.quarantine"

QUARANTINE_OF: Final = {
    "sequences": SEQUENCES_QUARANTINE,
    "enrollment": ENROLLMENT_QUARANTINE,
    "delivery": DELIVERY_QUARANTINE,
    "console": CONSOLE_QUARANTINE,
}
"""Each service's quarantine."""

ANSWERS_OF: Final = {
    SEQUENCES_COMMANDS: SEQUENCES_ANSWERS,
    ENROLLMENT_COMMANDS: ENROLLMENT_ANSWERS,
    ENROLLMENT_REMOVALS: ENROLLMENT_ANSWERS,
    ENROLLMENT_IMPORTS: ENROLLMENT_ANSWERS,
    DELIVERY_COMMANDS: DELIVERY_ANSWERS,
}
"""Where the commands of a topic are answered."""

COMMAND_TOPICS: Final = frozenset(ANSWERS_OF)
ANSWER_TOPICS: Final = frozenset(ANSWERS_OF.values())
QUARANTINES: Final = frozenset(QUARANTINE_OF.values())

COMPACTED: Final = frozenset({SEQUENCES_EVENTS, SEQUENCES_VERSIONS, CONTACTS_EVENTS, DELIVERY_BOOKS})
"""Topics whose latest record of a key is that key's whole state; a null value means that it is gone."""

URGENT: Final = ANSWER_TOPICS | {
    SEQUENCES_EVENTS,
    SEQUENCES_CONTROL,
    ENROLLMENT_CONTROL,
    DELIVERY_CONTROL,
    ERASURE_RECEIPTS,
    CONTACTS_ACTIVITY,  # an opt-out stops as a removal does
}
"""Topics of the outbox's fast lane: what they carry never waits behind bulk."""

ALL_TOPICS: Final = frozenset(
    {
        *ANSWERS_OF,
        *ANSWER_TOPICS,
        *COMPACTED,
        *URGENT,
        *QUARANTINES,
        ENROLLMENT_EVENTS,
        DELIVERY_EVENTS,
    }
)
