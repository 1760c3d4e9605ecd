-- Half of each page stays free when rows are added, so that a whole page of messages that are due at once can be claimed
-- without a move to another page, which would write to every index (decision 0031).
alter table pending set (fillfactor = 50);
