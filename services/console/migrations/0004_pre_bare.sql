-- Enrollments of which nothing but a removal was heard, to be forgotten when nothing more can come.
create index enrollment_bare on enrollment (ended_at) where sequence_id is null;
