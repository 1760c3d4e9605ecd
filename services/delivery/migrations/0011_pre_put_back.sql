-- What became of the messages of enrollments that are heard of (again) only after that was adopted: see handlers/adoption.py.
create table adopted (
    enrollment_id uuid        primary key,
    sequence_id   text        not null,
    contact_id    text        not null,
    ended         text[]      not null default '{}',    -- the steps that ended, in that order
    ended_at      timestamptz null,                     -- when the last of them did
    doubt_step    text        null,                     -- whose message may have arrived
    doubt_version int         null,
    attempt       int         not null default 0 check (attempt >= 0),
    adopted_at    timestamptz not null default clock_timestamp(),
    check ((doubt_step is null) = (doubt_version is null)),
    check ((ended_at is null) = (cardinality(ended) = 0))
);
create index adopted_heard on adopted (adopted_at);
create index adopted_sequence on adopted (sequence_id);

-- No claim made after a put-back may bear the number of one that was made before and is forgotten. It runs as the owner.
create function skip_claim_tokens() returns bigint
    language sql security definer set search_path from current as $$
    select setval('claim_token', nextval('claim_token') + 1000000000)
$$;
