"""What is written for each event, by us and by the loops alike."""

from typing import Final

SCHEMA: Final = "enrollment"
"""Whose tables of messaging (inbox, outbox, offsets) are used, while no service runs."""

TABLE: Final = f"""
create table if not exists {SCHEMA}.bench_row (
    record      uuid primary key,
    contact_id  text not null,
    sequence_id text not null,
    step_id     text not null,
    at          timestamptz not null default clock_timestamp()
)
"""
GRANT: Final = f"grant select, insert on {SCHEMA}.bench_row to {SCHEMA}_app"
EMPTY: Final = f"truncate {SCHEMA}.bench_row, {SCHEMA}.inbox, {SCHEMA}.outbox, {SCHEMA}.consumer_offset"
INSERT: Final = f"""
insert into {SCHEMA}.bench_row (record, contact_id, sequence_id, step_id)
select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[])
"""
INSERT_ONE: Final = f"insert into {SCHEMA}.bench_row (record, contact_id, sequence_id, step_id) values ($1, $2, $3, $4)"
COUNT: Final = f"select count(*) from {SCHEMA}.bench_row"
SECONDS: Final = f"select extract(epoch from max(at) - min(at))::float8 from {SCHEMA}.bench_row"
