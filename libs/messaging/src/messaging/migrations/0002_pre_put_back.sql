-- What a service must remember to notice that its database was put back to an earlier moment, and to catch up.

create table said (
    topic       text    not null,
    partition   integer not null check (partition >= 0),
    next_offset bigint  not null check (next_offset >= 0),
    primary key (topic, partition)
) with (fillfactor = 50);
comment on table said is 'Behind the last record of ours that Kafka has acknowledged, moved where the outbox forgets it.';

create table said_before (since timestamptz not null);
comment on table said_before is 'One row where much was said before `said` was kept: the first look begins where the topics end.';
insert into said_before select clock_timestamp() where exists (select from consumer_offset) or exists (select from outbox);

create table put_back (
    found_at   timestamptz primary key default clock_timestamp(),
    adopted_at timestamptz,
    opened_at  timestamptz,
    check (opened_at is null or adopted_at is not null)
);
comment on table put_back is 'One row for each time this database was found to be at an earlier moment than its topics.';
create unique index put_back_under_way on put_back ((true)) where opened_at is null;

alter table inbox add column adopted boolean not null default false;
comment on column inbox.adopted is 'Its answer was read back from the topic; what the command did may be lost.';
