-- How far the rate of a lane is used up: see domain/rate.py. One row per lane that has a rate, shared by all senders.
create table lane_rate (
    lane        text        primary key check (lane ~ '^[a-z][a-z0-9_]*:'),
    spent_until timestamptz not null
) with (fillfactor = 50, autovacuum_vacuum_threshold = 200);
