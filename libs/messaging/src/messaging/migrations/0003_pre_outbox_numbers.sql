-- A number of the outbox is taken only by a transaction that has an id already (`messaging.outbox.Low` needs that), and
-- numbers go on from where they were.

lock table outbox in access exclusive mode;
create sequence outbox_number;
select setval('outbox_number', last_value, is_called) from outbox_seq_seq;
alter table outbox alter column seq drop identity;
alter table outbox alter column seq
    set default case when pg_current_xact_id() is not null then nextval('outbox_number') end;
alter sequence outbox_number owned by outbox.seq;
alter sequence outbox_number rename to outbox_seq_seq;
