-- Everything that enrollment owns. Ids are opaque text and compared byte by byte.

-- What is known of a contact: no attribute, no address. A row is made as soon as a contact is named, to have something to lock;
-- without a state_version it is not heard of yet, or gone.
create table contact (
    contact_id       text collate "C" primary key,
    state_version    bigint  null,
    source_partition int     null,
    source_offset    bigint  null check (source_offset >= 0),
    opted_out        boolean not null default false,    -- as the newest record says
    opted_out_kept   boolean not null default false,    -- said by the contact, or carried over from a record that is gone
    gone_partition   int     null,
    gone_offset      bigint  null,                      -- of the last tombstone: what stands before it in the topic is old
    check ((state_version is null) = (source_partition is null)),
    check ((state_version is null) = (source_offset is null)),
    check ((gone_partition is null) = (gone_offset is null)),
    check (state_version is not null or not opted_out)
) with (fillfactor = 80);

create table sequence (
    sequence_id   text collate "C" primary key,
    state_version bigint not null check (state_version >= 0),
    status        text   not null check (status in ('draft', 'active', 'paused', 'deleted', 'closed')),
    epoch         bigint not null check (epoch >= 0),
    version       bigint null,                          -- the newest published
    campaign      text   null,
    closed_epoch  bigint null,                          -- the last epoch whose EntryClosed was said
    check (status <> 'active' or version is not null),
    check (status <> 'deleted' or (version is null and campaign is null)),
    check (status not in ('paused', 'deleted') or coalesce(closed_epoch >= epoch, false))
);
comment on column sequence.status is 'closed: of a state that this version does not understand; nobody enters.';

-- Ids of erased sequences: whatever comes late meets this and changes nothing.
create table deleted_sequence (
    sequence_id text collate "C" primary key,
    epoch       bigint      not null,
    erased_at   timestamptz not null
);

create table enrollment (
    sequence_id    text collate "C" not null,
    contact_id     text collate "C" not null,
    enrollment_id  uuid        not null,
    version        bigint      not null check (version > 0),     -- that was entered
    contact_offset bigint      not null,                         -- of the contact's record that it was decided on
    status         text        not null default 'active' check (status in ('active', 'completed', 'stopped', 'removed', 'failed')),
    reason         text        null check (reason in ('success', 'failure', 'replied', 'opted_out')),
    allow_reentry  boolean     not null default false,           -- removed so that it does not count for entry
    enrolled_at    timestamptz not null,
    ended_at       timestamptz null,
    primary key (sequence_id, contact_id, enrollment_id),
    check ((status = 'active') = (ended_at is null)),
    check ((status = 'stopped') = (reason is not null)),
    check (not allow_reentry or status = 'removed')
) with (fillfactor = 90);
-- Once per sequence and contact; what lives is always in it, so there are never two live ones. No column that an ordinary end writes
-- stands in an index: an end is a heap-only update.
create unique index enrollment_once on enrollment (contact_id, sequence_id) where not allow_reentry;

create table block (
    contact_id text collate "C" not null,
    scope      text collate "C" not null check (scope like 'sequence:_%' or scope like 'campaign:_%'),
    blocked_at timestamptz not null,
    primary key (contact_id, scope)
);
comment on table block is 'This contact may not enter that sequence, or any sequence of that campaign; known or not yet.';
create index block_scope on block (scope);

-- Commands whose answer waits until every contact of theirs is decided.
create table parked_command (
    command  uuid primary key,                          -- a hash of its source and id, as in the inbox
    topic    text    not null check (topic in ('enrollment.commands', 'enrollment.imports')),
    cause    jsonb   not null,
    enrolled integer not null check (enrolled >= 0),
    refused  jsonb   not null,
    waiting  integer not null check (waiting > 0)
);

create table parked (
    place         bigint generated always as identity primary key,
    command       uuid        not null references parked_command,
    position      integer     not null check (position >= 0),
    key           text collate "C" not null,
    sequence_id   text collate "C" not null,
    contact_id    text collate "C" not null,
    enrollment_id uuid        not null,
    waits_for     text        null check (waits_for in ('sequence', 'contact', 'behind')),
    parked_at     timestamptz not null,
    unique (command, position)
);
comment on column parked.waits_for is 'null: what it waited for is there, decide it; behind: an earlier one of the same key and contact waits.';
create index parked_contact on parked (contact_id, place);
create index parked_sequence on parked (sequence_id, place);
create index parked_ready on parked (place) where waits_for is null;
create index parked_since on parked (waits_for, parked_at);
create index parked_wanting on parked (sequence_id, place) where waits_for = 'sequence';

-- Deleted sequences whose rows are being erased.
create table erasure (
    sequence_id text collate "C" primary key,
    epoch       bigint not null,
    cause       jsonb  not null,
    rows        jsonb  not null default '{}'
);
