-- Everything that delivery owns. Ids are opaque text; an enrollment's and a message's id are uuids of ours.

-- Rises in commit order: it is taken under the exclusive gate lock. Senders refresh their copy of the gates by it.
create sequence gate_change as bigint;
create sequence claim_token as bigint;

-- The control row of a sequence. Closing it is all that a stop writes.
create table gate (
    sequence_id   text        primary key,
    state_version bigint      not null,
    status        text        not null check (status in ('draft', 'active', 'paused', 'deleted')),
    open          boolean     not null,
    epoch         bigint      not null check (epoch >= 0),
    version       int         null check (version > 0),           -- the newest published
    campaign      text        null,
    clock_offset  interval    not null default '0',               -- active clock = clock - clock_offset
    paused_at     timestamptz null,                               -- while paused the active clock stands at this - clock_offset
    change        bigint      not null,
    check (not open or (status = 'active' and version is not null))
);
create index gate_changed on gate (change);

-- Past pauses: what the active clock showed at a past instant. Before `paused_at` the offset was `offset_before`.
create table gate_clock (
    sequence_id   text        not null,
    paused_at     timestamptz not null,
    resumed_at    timestamptz not null check (resumed_at >= paused_at),
    offset_before interval    not null,
    offset_after  interval    not null,
    primary key (sequence_id, paused_at)
);

create table definition (
    sequence_id text  not null,
    version     int   not null check (version > 0),
    definition  jsonb not null,
    primary key (sequence_id, version)
);

-- The newest state of a contact. One that is gone keeps its id, version and place in the topic, nothing personal.
create table contact (
    contact_id       text    primary key,
    state_version    bigint  not null,
    source_partition int     not null,
    source_offset    bigint  not null,
    attributes       jsonb   not null default '{}',
    tags             jsonb   not null default '[]',
    addresses        jsonb   not null default '{}',
    timezone         text    null,
    language         text    null,
    opted_out        boolean not null default false,
    gone             boolean not null default false,
    check (not gone or (attributes = '{}' and tags = '[]' and addresses = '{}' and timezone is null and language is null))
);

-- One row per live enrollment: its next message only. The row stays from step to step.
create table pending (
    enrollment_id   uuid        primary key,
    sequence_id     text        not null,
    contact_id      text        not null,
    entered_version int         not null,
    version         int         null,                   -- planned under; null: never planned yet, base_active is then still the plain clock's enrolled_at
    step_id         text        null,
    lane            text        null check (lane ~ '^[a-z][a-z0-9_]*:'),   -- channel:sender; null: to be planned (again)
    due_active      timestamptz null,                   -- on the active clock
    base_active     timestamptz not null,               -- what `after` counts from: entry, or the end of the step before
    attempt         int         not null default 0 check (attempt >= 0),   -- of this step; from 1 on it keeps version and lane to its end
    in_doubt        boolean     not null default false, -- an earlier attempt of this step may have arrived
    ended           text[]      not null default '{}',  -- the steps that ended, in that order
    token           bigint      null,                   -- of the claim that holds it
    epoch           bigint      null,                   -- the gate's, at the claim
    halted          boolean     not null default false, -- its enrollment ended while it was claimed: no next step
    check (lane is null or (step_id is not null and version is not null and due_active is not null)),
    check ((token is null) = (epoch is null)),
    check (token is null or lane is not null),
    check (not halted or token is not null)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000);
-- No claim column (token, epoch, attempt, halted) stands in an index: a claim is a heap-only update.
create index pending_due on pending (sequence_id, lane, due_active);
create index pending_unplanned on pending (sequence_id) where lane is null;

-- One row per claimed batch; deleted when all of it is booked.
create table claim (
    token          bigint      primary key,
    owner          text        not null,
    claimed_at     timestamptz not null,
    enrollment_ids uuid[]      not null
) with (autovacuum_vacuum_threshold = 200);

-- History: append-only, by day (see make_message_partitions).
create table message (
    message_id          uuid        not null,
    enrollment_id       uuid        not null,
    sequence_id         text        not null,
    contact_id          text        not null,
    step_id             text        not null,
    version             int         not null,
    channel             text        not null,
    outcome             text        not null check (outcome in ('sent', 'failed', 'dropped', 'expired', 'unknown')),
    code                text        null,
    detail              text        null,
    attempt             int         not null,
    due_at              timestamptz null,
    ended_at            timestamptz not null,
    provider_message_id text        null
) partition by range (ended_at);
create index message_sequence on message (sequence_id, ended_at);
create index message_reported on message (message_id);          -- providers' reports name it
create table message_rest partition of message default;

-- Makes the partitions of today and of the days to come. It runs as the owner of the schema: only an owner may.
create function make_message_partitions(days_ahead int) returns int
    language plpgsql security definer set search_path from current as $$
declare
    day  date;
    name text;
    made int := 0;
begin
    for n in 0 .. least(days_ahead, 60) loop
        day := (now() at time zone 'utc')::date + n;
        name := 'message_' || to_char(day, 'YYYYMMDD');
        if to_regclass(name) is null then
            begin
                execute format('create table %I partition of message for values from (%L) to (%L)',
                               name, day::text || ' 00:00+00', (day + 1)::text || ' 00:00+00');
                made := made + 1;
            exception
                when check_violation then null;   -- rows of that day are in message_rest already: they stay there
            end;
        end if;
    end loop;
    return made;
end $$;
select make_message_partitions(7);

-- The books of a sequence: `books` plus all its `books_delta`, read in one statement. Both are closed at any time.
create table books_delta (
    id          bigint generated always as identity primary key,
    sequence_id text   not null,
    planned     bigint not null default 0,
    pending     bigint not null default 0,
    claimed     bigint not null default 0,
    sent        bigint not null default 0,
    failed      bigint not null default 0,
    dropped     bigint not null default 0,
    expired     bigint not null default 0,
    unknown     bigint not null default 0,
    check (planned = pending + claimed + sent + failed + dropped + expired + unknown)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);
create index books_delta_sequence on books_delta (sequence_id);

create table books (
    sequence_id   text        primary key,
    planned       bigint      not null default 0,
    pending       bigint      not null default 0,
    claimed       bigint      not null default 0,
    sent          bigint      not null default 0,
    failed        bigint      not null default 0,
    dropped       bigint      not null default 0,
    expired       bigint      not null default 0,
    unknown       bigint      not null default 0,
    books_version bigint      not null default 0,
    unsaid        boolean     not null default true,   -- changed since the last MessagesCounted
    said_at       timestamptz null,
    check (planned = pending + claimed + sent + failed + dropped + expired + unknown)
) with (fillfactor = 50);

-- Ends that were heard before their ContactEnrolled: the marker wins.
create table ended (
    enrollment_id uuid        primary key,
    sequence_id   text        null,
    contact_id    text        null,
    heard_at      timestamptz not null
);
create index ended_heard on ended (heard_at);
create index ended_sequence on ended (sequence_id);

-- Receipts that are owed.
create table sequence_halt (
    sequence_id text        not null,
    epoch       bigint      not null,
    in_flight   bigint      not null check (in_flight >= 0),
    erase       boolean     not null,          -- a deletion: erase once halted
    cause       jsonb       null,              -- null: nobody waits for a receipt (a tombstone, a fence)
    closed_at   timestamptz not null,
    primary key (sequence_id, epoch)
);
create table contact_halt (
    removal_id      text   primary key,
    contact_id      text   not null,
    enrollment_ids  uuid[] not null,
    waiting_ids     uuid[] not null,           -- claimed when the removal came, …
    waiting_tokens  bigint[] not null check (cardinality(waiting_tokens) = cardinality(waiting_ids)),   -- … by these claims
    dropped         bigint not null check (dropped >= 0),
    in_flight       bigint not null check (in_flight >= 0),
    cause           jsonb  not null
);

-- Work that goes on after a restart.
create table replan (
    sequence_id  text        primary key,
    version      int         not null,
    after_lane   text        not null default '',
    after_due    timestamptz not null default '-infinity',
    after_id     uuid        not null default '00000000-0000-0000-0000-000000000000'
);
create table erasure (
    sequence_id text   primary key,
    epoch       bigint not null,
    rows        jsonb  not null default '{}',
    cause       jsonb  null
);

-- What is left of a deleted sequence: its id, so that nothing late brings it back.
create table deleted_sequence (
    sequence_id text primary key
);
