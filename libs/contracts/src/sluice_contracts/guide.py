"""What the AsyncAPI documents say in words: enough for somebody who has nothing but a Kafka client."""

from typing import Final

COMMON: Final = """\
## A record

The value is a CloudEvents 1.0 event in structured JSON: `specversion` (always `1.0`), `id`, `source`, `type`,
`subject` (the record's key), `time`, `datacontenttype`, the extensions `correlationid`, `causationid` and `actor`,
and the message itself as the object `data`. The header `content-type` is `application/cloudevents+json`.
`traceparent`, where there is one, is a header.

What you send may also come without that header, or in binary mode: `ce_specversion`, `ce_id`, `ce_source`,
`ce_type` as headers and the bare `data` as the value. Needed are `specversion`, `id`, `source`, `type` and an
object as `data`.

- **Identity.** A record is known by `source` and `id` together. Delivery is at least once: skip what you have seen.
  What we emit repeats its id when it is repeated.
- **Key.** UTF-8, the id that is named at each channel. A command whose key is missing or is not the id in `data` is
  refused as `invalid`.
- **Partitioner.** Murmur2 of the key, as the Java client does it. kafkajs (from 2.0), franz-go and aiokafka do so
  by default; with librdkafka (confluent-kafka, node-rdkafka, rdkafka) set `partitioner=murmur2_random`. With
  another partitioner the records of one key lie on two partitions, and their order is lost.
- **Order.** The records of one key on one topic are in order. Topics are not ordered among each other.
- **Times** are RFC 3339 in UTC with `Z` and six digits. Any offset is read.
- **Ids** are `[A-Za-z0-9][A-Za-z0-9._:-]{0,63}`, chosen by whoever creates the thing.
- **Changes.** Ignore fields that you do not know: new ones are added, always optional. Any other change is a new type
  (`.v2`).
- A record of more than 900 KiB is refused.

## Commands and answers

Every valid command is answered exactly once: `CommandAccepted.v1` with a `result`, or `CommandRejected.v1` with a
`code` of a closed list, a sentence, and for a refused definition every fault with its place. The answer's key and
its `correlationid` are the command's `id`; so read from the end of the one partition to which that key goes
*before* you send. The same `source` and `id` again change nothing and get the same answer again: send again when in
doubt. An answer says that the command was taken; what it caused follows as events. What is no valid envelope is
answered by nobody and lies in the service's quarantine.
"""

SEQUENCES: Final = """\
Sequences owns what is to be sent, and whether it runs: drafts, versions, pause, resume, delete.

## Following a sequence

All you need is `sequences.events`. Read it from the beginning, whenever you start; keep, per key:

1. Value null (a tombstone): the sequence is gone. Forget it, and what you stored about it. Its id is never used
   again; should a record of it be written late all the same, a second tombstone follows.
2. `data.state_version` not above the one that you have: skip it. A late or repeated record must not bring back the
   past.
3. Otherwise `data` *is* the sequence now. Replace all that you have: every record carries the whole state, so nothing
   needs to be added up and none of the earlier ones is missed.

The topic is compacted. For at least seven days every record is there; of older ones only the latest of each key is
sure to be. You therefore may find a sequence that begins with `SequenceStopped` and a `state_version` of 40, and
gaps in the offsets: both are as they should be. A tombstone itself is kept for 30 days; who was away for longer
must start with an empty memory, or he keeps what was deleted. The type says what happened last; do not derive the
state from it: a draft may be saved while a sequence is paused, and `SequenceSaved` then carries `status: paused`,
its receipts and all. You are at the present once you have reached the end offsets that the partitions had when you
began.

- `status`: `draft`, `active`, `paused`, `deleted`.
- `draft` is the working copy at `revision`, null where it equals what is published; `published` is the definition of
  `version`, both null before the first publish. After a delete neither is there.
- `follow_version` is the newest version that those inside follow: each of them is under the later of that and the
  version that they entered.
- `epoch` rises with each pause, resume and delete.

**Has it stopped?** `SequencePaused` says that it is being stopped. `SequenceStopped` says that it has: `receipts`
holds the times after which nobody entered (`entry_closed_at`) and no message left (`halted_at`), how many pending
sends were dropped and how many were in flight. It stays true until a record with a higher `epoch`. So: after
`PauseSequence`, take `epoch` from the answer's `result` and wait for a state with `receipts` and that epoch, or for
any higher epoch.

**The active clock** of a sequence stands still while it is paused: it is the wall clock less
`clock_offset_seconds`, and while `status` is `paused` it stands at `paused_at` less that offset. A resume with
`overdue: shift` (the default) adds the pause to the offset; after `send_now` and `skip` the offset is what it was, and
the clock has jumped over the pause. `overdue`, `max_lateness` and `admit` stand in the state from the resume until the
next pause.

**Deleted** is first a `SequenceDeleted` (a fence like a pause), then one `SequenceErased` per service on
`erasure.receipts`, `SequenceErasureCompleted` on `sequences.control`, and last the tombstone here. If you keep data
of sequences, erase yours too, and write a `SequenceErased` of your own where you are named as a service.

Each version also stands in `sequences.versions` under the key `sequence_id:version`, until the sequence is deleted.

## Sending a command

Write to `sequences.commands` with the sequence's id as key, and read the answer in `sequences.answers`. Saving
creates a sequence that does not exist. A draft may be any JSON object; it is validated when it is published, and
then every fault is named. `Definition` below is what can be published.

- `PublishSequence` with `in_flight: pin` lets whoever is inside keep the version that they have. Where nothing was
  saved since, publishing changes nothing; but `in_flight: follow` then lets those follow who were pinned, as a new
  version. An older definition that is saved and published again is a rollback.
- `PauseSequence` with `resume_at` resumes by itself then, once, unless somebody does before; a time that is over counts
  as now. Pausing what is paused takes over both `reason` and `resume_at`: where there is none, it is forgotten.
- `ResumeSequence` is accepted at once and takes effect once the receipts are in. `max_lateness` goes with
  `overdue: send_now` only. Of two that wait the later one counts. Resuming what runs changes nothing.
"""

ENROLLMENT: Final = """\
Enrollment owns who is inside a sequence: every entry, and every end.

Let contacts in with `EnrollContact` or, up to 1,000 at once, with `EnrollContacts`, whose key is the sequence's id,
a colon and the number or name of the chunk. A contact enters a sequence once; for a second try see `allow_reentry`
of `RemoveContact`. The two commands are answered even where the sequence or the contact is not known yet: they wait
until enrollment has caught up with the topics that would tell, and are refused 10 s later.

`RemoveContact` halts all that is planned for a contact, in one sequence, one campaign or everywhere. It is never
refused because something is unknown, and it wins over an enrollment that is still on its way. Its answer has the
`removal_id`; the receipt `ContactHalted` with that id, on `delivery.control`, says that from `halted_at` on nothing
leaves. To remove and enroll again, wait for the first answer before you send the second command.

`EntryClosed` on `enrollment.control` is enrollment's receipt for a pause or a delete: after `closed_at` nobody enters
that sequence, until an event with a higher `epoch`.

Contacts come from `contacts.events`, a compacted topic that the account's own contact system writes: each record is
the whole contact with a `state_version` that only grows, a null value deletes and erases it.
"""

DELIVERY: Final = """\
Delivery owns every message from its plan to its end, and proves that what was stopped has stopped.

A message ends as `sent`, `failed`, `expired`, `dropped` or `unknown` (the provider may or may not have it; a
`MessageResolved` follows). Its `message_id` follows from the enrollment and the step, is the idempotency key and the
`webhook-id`, and stays the same over retries and resumes.

Receipts are on `delivery.control`. `SequenceHalted`: no message of that sequence leaves after `halted_at`, until an
event with a higher `epoch`; `dropped` is what was pending, `in_flight` what had left already and has ended by then.
`ContactHalted`: the same for a removal. `DeliverySuspended`: the same for a scope (`all`, `channel:<name>`,
`sender:<name>`).

`delivery.books` is compacted and has the closed books of each sequence, at most once a second: planned = pending +
claimed + sent + failed + dropped + expired + unknown. The higher `books_version` is the newer one.
"""

QUARANTINE: Final = (
    "Records that could not be handled: key, value and headers byte for byte as they came, and the headers "
    "`sluice-quarantine-reason`, `-topic`, `-partition`, `-offset` and `-tries`."
)

TOMBSTONE: Final = "The null value: this key is gone. Forget it, and what you stored about it."

CONSOLE: Final = """\
The console is a read model: it reads every topic of events, control and state, and tells over HTTP what happened, to
whom, and why (docs/openapi/console.json). It takes no command and owns nothing: whatever it shows can be read from the
topics by anybody, and that is how it is made.

It keeps ids, times and reasons, of contacts neither attributes nor addresses. It takes part in erasure: a
`SequenceErased` and a `ContactErased` of the service `console` stand on `erasure.receipts`.
"""
