-- How a pause ends, by somebody or by itself; and which version those inside follow.

alter table sequence
    add column resume_at       timestamptz,
    add column resume_at_asked jsonb,
    add column overdue         text check (overdue in ('shift', 'send_now', 'skip')),
    add column max_lateness    text,
    add column admit           text check (admit in ('none', 'qualifying')),
    add column follow_version  bigint check (follow_version > 0);

update sequence set follow_version = version where version is not null;
update sequence set overdue = 'shift', admit = 'none' where resumed_at is not null;

alter table sequence
    add constraint resume_at_ends_a_pause check (resume_at is null or status = 'paused'),
    add constraint resume_at_has_a_cause check ((resume_at is null) = (resume_at_asked is null)),
    add constraint max_lateness_bounds_send_now check (max_lateness is null or coalesce(overdue, '') = 'send_now'),
    add constraint follows_what_is_published check (follow_version is null or coalesce(follow_version <= version, false));

comment on column sequence.resume_at is 'When it resumes by itself; null where it does not.';
comment on column sequence.resume_at_asked is 'The command that set `resume_at`.';
comment on column sequence.resume_asked is 'The command behind a resume that waits for receipts, and how it resumes.';
comment on column sequence.overdue is 'How the last resume treated what became due meanwhile; null since the next pause.';
comment on column sequence.follow_version is 'The newest version that those inside follow.';
create index sequence_to_resume on sequence (resume_at)
    where resume_at is not null and entry_closed_at is not null and halted_at is not null;
