-- A number of the outbox is taken only by a transaction that has an id already (`messaging.outbox.Low` needs that).

lock table outbox in access exclusive mode;
alter table outbox alter column seq drop identity;
create sequence outbox_number owned by outbox.seq;
select setval('outbox_number', (select coalesce(max(seq), 0) + 1 from outbox), false);
alter table outbox alter column seq
    set default case when pg_current_xact_id() is not null then nextval('outbox_number') end;
