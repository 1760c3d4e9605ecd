-- What those inside run under: an enrollment's version is the newer of the one that it entered and this one. Null, as
-- an older release leaves it: the newest.
alter table gate add column follow_version int null check (follow_version <= version);

-- A resume that does not send what is overdue leaves a mark on the active clock: what is due up to it is never claimed.
-- The gate bears the furthest of its marks; each stands with the pause that it ended, and what follows an expired
-- message counts from that resume.
alter table gate add column expire_until timestamptz null;
create index gate_marked on gate (sequence_id) where expire_until is not null;
alter table gate_clock add column expire_until timestamptz null;
alter table gate_clock add column expire_base timestamptz null;
alter table gate_clock add column expire_reason text null check (expire_reason in ('skip', 'max_lateness'));
alter table gate_clock add check (
    (expire_until is null) = (expire_base is null) and (expire_until is null) = (expire_reason is null)
    and expire_until <= expire_base
);
