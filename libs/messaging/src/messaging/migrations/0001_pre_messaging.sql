-- What messaging needs in every service's schema.

create table inbox (
    message     uuid primary key,
    received_at timestamptz not null default clock_timestamp(),
    answer      bytea
);
comment on table inbox is 'Records already handled, by a hash of (source, id); a command also keeps its answer.';
create index inbox_received on inbox using brin (received_at);

create table outbox (
    seq     bigint generated always as identity primary key,
    lane    smallint not null check (lane in (0, 1)),
    topic   text not null,
    key     bytea,
    value   bytea,
    headers bytea
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
comment on column outbox.headers is 'JSON list of [name, base64]; null for the usual content type alone.';
create index outbox_lane on outbox (lane, seq);

create table consumer_offset (
    topic        text not null,
    partition    integer not null check (partition >= 0),
    partitions   integer not null check (partitions > partition),
    next_offset  bigint not null check (next_offset >= 0),
    beat         bigint not null default 0,
    caught_up_at timestamptz,
    withheld     boolean not null default false,
    primary key (topic, partition)
) with (fillfactor = 50);
comment on column consumer_offset.beat is 'Rises only while the reader of this partition has caught up and nothing is withheld.';
