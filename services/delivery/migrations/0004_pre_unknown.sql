-- A message that may have arrived is decided later, by a provider's report, its step's policy or a person. Until then
-- its row waits in the lane `unknown:`, which no sender claims from; `due_active` is when the policy decides.
alter table message add column resolved_at timestamptz null;
alter table message add column resolved_by text null;
alter table message add check ((resolved_at is null) = (resolved_by is null));
