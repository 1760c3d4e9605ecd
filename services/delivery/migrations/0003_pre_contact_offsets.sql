-- An enrollment was decided on one record of its contact: nothing is sent to an older one, nor to a later contact who
-- has the same id. Offsets compare, for a key stays on its partition.
alter table pending add column contact_offset bigint not null default 0;
alter table contact add column gone_offset bigint null;     -- of its last tombstone
update contact set gone_offset = source_offset where gone;
alter table contact add check (not gone or gone_offset is not null);
