-- What the console has heard. Facts are kept as they came, one row each, unique by what the record is known by; so a replay, and any
-- order among topics, give the same rows. No attribute and no address of a contact is here. Ids are opaque, compared byte by byte.

create table event (
    event_id      uuid        primary key,                 -- a hash of the record's source and id
    at            timestamptz not null,
    kind          text        not null,
    contact_id    text collate "C" not null,
    sequence_id   text collate "C" null,
    enrollment_id text collate "C" null,
    step_id       text collate "C" null,
    detail        jsonb       not null,
    check (step_id is null or (sequence_id is not null and enrollment_id is not null))
) with (autovacuum_vacuum_scale_factor = 0.1);
comment on table event is 'The timeline: one row per record about a contact.';
create index event_contact on event (contact_id, at);
create index event_sequence on event (sequence_id) where sequence_id is not null;
create index event_unknown on event (contact_id, enrollment_id, step_id) where kind = 'unknown';
create index event_reply on event (contact_id) where kind = 'replied' and detail ? 'message_id';

-- Merged from whatever comes first: an entry, an end, a first send. Without enrolled_at its entry was not heard (yet).
create table enrollment (
    enrollment_id  text collate "C" primary key,
    contact_id     text collate "C" not null,
    sequence_id    text collate "C" null,                  -- a removal names enrollments without it
    version        bigint      null,                       -- that was entered
    via            text        null,
    contact_offset bigint      null,
    enrolled_at    timestamptz null,
    first_sent_at  timestamptz null,
    status         text        not null default 'active' check (status in ('active', 'completed', 'stopped', 'removed', 'failed')),
    reason         text        null,
    ended_at       timestamptz null,
    check ((status = 'active') = (ended_at is null)),
    check ((enrolled_at is null) = (version is null)),
    check (enrolled_at is null or sequence_id is not null)
) with (fillfactor = 85);
create index enrollment_contact on enrollment (contact_id, sequence_id);
create index enrollment_sequence on enrollment (sequence_id, contact_id, enrollment_id) where sequence_id is not null;
create index enrollment_status on enrollment (sequence_id, status, contact_id, enrollment_id) where sequence_id is not null;

-- Erased enrollments of contacts that are gone: what comes late about them changes nothing.
create table gone_enrollment (
    enrollment_id text collate "C" primary key,
    heard_at      timestamptz not null default clock_timestamp()
);
create index gone_enrollment_heard on gone_enrollment using brin (heard_at);

create table contact (
    contact_id    text collate "C" primary key,
    state_version bigint  null,                            -- null: gone
    source_offset bigint  null,
    timezone      text    null,
    opted_out     boolean not null default false,
    gone_offset   bigint  null,                            -- of its last tombstone
    check ((state_version is null) = (source_offset is null)),
    check (state_version is not null or gone_offset is not null)
);

create table sequence (
    sequence_id   text collate "C" primary key,
    state_version bigint not null,
    status        text   not null,
    state         jsonb  not null                          -- the newest record's data
);

create table version (
    sequence_id  text collate "C" not null,
    version      bigint      not null,
    definition   jsonb       not null,
    published_at timestamptz null,
    primary key (sequence_id, version)
);

-- Pauses that are over, and what the active clock was behind before and after each.
create table stretch (
    sequence_id           text collate "C" not null,
    paused_at             timestamptz not null,
    resumed_at            timestamptz not null,
    offset_before_seconds double precision not null,
    offset_after_seconds  double precision not null,
    primary key (sequence_id, paused_at),
    check (resumed_at >= paused_at)
);

-- The two receipts of a stop, as each came.
create table stop (
    sequence_id     text collate "C" not null,
    epoch           bigint      not null,
    entry_closed_at timestamptz null,
    halted_at       timestamptz null,
    dropped         bigint      null,
    in_flight       bigint      null,
    primary key (sequence_id, epoch)
);

create table books (
    sequence_id   text collate "C" primary key,
    books_version bigint      not null,
    planned       bigint      not null,
    pending       bigint      not null,
    claimed       bigint      not null,
    sent          bigint      not null,
    failed        bigint      not null,
    dropped       bigint      not null,
    expired       bigint      not null,
    unknown       bigint      not null,
    as_of         timestamptz not null
);

create table scope (
    scope     text collate "C" primary key,
    epoch     bigint      not null,
    suspended boolean     not null,
    reason    text        null,
    in_flight bigint      null,
    at        timestamptz not null
);

-- Deleted sequences, by id alone: what comes late meets this and changes nothing.
create table gone_sequence (
    sequence_id text collate "C" primary key,
    epoch       bigint      not null,
    told        boolean     not null,                      -- its deletion was heard, so a receipt is owed or given
    completed   boolean     not null,                      -- every service has erased it
    heard_at    timestamptz not null default clock_timestamp()
);

-- Who has erased a sequence; gone when all have.
create table receipt (
    sequence_id text collate "C" not null,
    service     text collate "C" not null,
    rows        jsonb       not null,
    at          timestamptz null,
    primary key (sequence_id, service)
);

-- What is to be erased here, and how far it is.
create table erasure (
    subject  text not null check (subject in ('sequence', 'contact')),
    id       text collate "C" not null,
    before   bigint null,                                  -- the offset of a contact's tombstone
    cause    jsonb  null,                                  -- null: no receipt is owed
    rows     jsonb  not null default '{}',
    primary key (subject, id),
    check ((subject = 'contact') = (before is not null))
);

create table origin (
    topic    text        primary key,
    earliest timestamptz not null
);
comment on table origin is 'The time of the oldest record that was read of each topic.';

create table build (
    singleton boolean     primary key default true check (singleton),
    built_at  timestamptz not null default clock_timestamp()
);
