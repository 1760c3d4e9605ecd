-- Sequences, their versions, and what is left of deleted ones.

create table sequence (
    sequence_id       text primary key,
    state_version     bigint not null check (state_version > 0),
    status            text not null check (status in ('draft', 'active', 'paused', 'deleted')),
    epoch             bigint not null check (epoch >= 0),
    revision          bigint not null check (revision > 0),
    draft             json,
    version           bigint check (version > 0),
    in_flight         text not null check (in_flight in ('follow', 'pin')),
    reason            text,
    paused_at         timestamptz,
    resumed_at        timestamptz,
    clock_offset_us   bigint not null check (clock_offset_us >= 0),
    entry_closed_at   timestamptz,
    halted_at         timestamptz,
    dropped           bigint check (dropped >= 0),
    in_flight_sends   bigint check (in_flight_sends >= 0),
    resume_asked      jsonb,
    deletion          jsonb,
    updated_at        timestamptz not null,
    heard_version     bigint not null default 0 check (heard_version >= 0),
    versions_erased   bigint not null default 0 check (versions_erased >= 0),
    erased_at         timestamptz,

    constraint draft_is_not_published check (status <> 'draft' or (version is null and draft is not null)),
    constraint running_is_published check (status not in ('active', 'paused') or version is not null),
    constraint paused_since check (status <> 'paused' or (paused_at is not null and resumed_at is null)),
    constraint resumed_after_pause check (resumed_at is null or resumed_at >= paused_at),
    constraint receipts_are_of_a_stop check (
        status in ('paused', 'deleted') or (entry_closed_at is null and halted_at is null)
    ),
    constraint halted_with_counts check (
        (halted_at is null) = (dropped is null) and (halted_at is null) = (in_flight_sends is null)
    ),
    constraint resume_waits_for_receipts check (
        resume_asked is null or (status = 'paused' and (entry_closed_at is null or halted_at is null))
    ),
    constraint deleted_holds_no_definition check (status <> 'deleted' or (draft is null and reason is null)),
    constraint deletion_has_a_cause check ((status = 'deleted') = (deletion is not null)),
    constraint erased_behind_the_fence check (
        (versions_erased = 0 and erased_at is null)
        or (status = 'deleted' and entry_closed_at is not null and halted_at is not null)
    )
);
comment on table sequence is 'One row per sequence that is not erased everywhere; its current state, as sequences.events carries it.';
comment on column sequence.draft is 'The definition at `revision`; null where it is what is published.';
comment on column sequence.heard_version is 'The highest state_version read back from sequences.events.';
comment on column sequence.resume_asked is 'The command behind a resume that waits for receipts.';
comment on column sequence.deletion is 'The command that deleted it.';
comment on column sequence.erased_at is 'When this service had erased its own rows of it.';
create index sequence_to_erase on sequence (sequence_id) where status = 'deleted';

create table version (
    sequence_id  text not null references sequence,
    version      bigint not null check (version > 0),
    definition   json not null,
    published_at timestamptz not null,
    primary key (sequence_id, version)
);
comment on table version is 'Definitions as they were published; never changed.';

create table erasure_receipt (
    sequence_id text not null references sequence on delete cascade,
    service     text not null,
    rows        jsonb not null,
    primary key (sequence_id, service)
);
comment on table erasure_receipt is 'Who has erased a deleted sequence, until all have.';

create table deleted_sequence (
    sequence_id   text primary key,
    epoch         bigint not null check (epoch > 0),
    state_version bigint not null check (state_version > 0),
    completed_at  timestamptz not null default clock_timestamp()
);
comment on table deleted_sequence is 'What is left of a deleted sequence: its id, so that nothing late brings it back.';
