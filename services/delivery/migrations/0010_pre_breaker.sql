-- What came of attempts, as each sender process adds them up once a second: what the breaker counts.
create table attempt_tally (
    lane     text        not null,
    code     text        null,           -- of a failure of the provider; null: the provider did its work
    attempts int         not null check (attempts > 0),
    ended_at timestamptz not null
) with (autovacuum_vacuum_threshold = 1000);
create index attempt_tally_ended on attempt_tally (ended_at);

-- Which lanes sender processes claim from: a lane that waits and stands here for nobody is told of.
create table lane_server (
    owner   text        not null,
    lane    text        not null,
    seen_at timestamptz not null,
    primary key (owner, lane)
) with (fillfactor = 50);
