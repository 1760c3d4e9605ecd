-- A message that is due and not sent yet is held: by its window until that opens, or in the lane `withheld:`, which no
-- sender claims from, by a stop condition until enrollment ends it or newer data let it go. A newer record of its contact
-- has it looked at again.
alter table pending add column due_own timestamptz null;    -- what it was planned for, where due_active is later now
alter table pending add column held_by text null check (held_by in ('window', 'condition'));
alter table pending add column held_lane text null;         -- its own lane, where it is in another or (held no more) in none
alter table pending add check (held_lane is null or lane is null or lane = 'withheld:');
alter table pending add check (lane is distinct from 'withheld:' or (held_lane is not null and held_by = 'condition'));
create index pending_held on pending (contact_id) where held_by is not null;

-- The channels on which nothing is wanted, `*` for all. It outlives the contact, whose row may come after it.
alter table contact add column opted_out_of text[] null check (cardinality(opted_out_of) > 0);
