-- All that is asked of the outbox goes by lane and number: the planner can take no other index, and a row costs one entry.

alter table outbox drop constraint outbox_pkey;
drop index outbox_lane;
alter table outbox add primary key (lane, seq);
