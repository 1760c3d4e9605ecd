-- A message that is to be sent again is known by its id too, from its first failed attempt to the end of its step: a
-- provider may report meanwhile that it has it after all, and then it is not.
alter table pending add column tried_as uuid null;
create index pending_tried on pending (tried_as) where tried_as is not null;

-- Webhooks go to servers of their own, one message here, one there: of which of a few groups of them an attempt was.
alter table attempt_tally add column servers smallint not null default 0;
