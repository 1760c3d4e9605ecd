-- What triggers, conditions, replies, opt-outs of one channel, a second entry and a resume need to know.

alter table contact
    add column facts json null,
    add constraint contact_facts_go_with_the_record check (facts is null or state_version is not null);
comment on column contact.facts is 'Attributes and tags of the newest record, for conditions; erased with it.';

create table channel_opt_out (
    contact_id   text collate "C" not null,
    channel      text collate "C" not null,
    opted_out_at timestamptz not null,
    primary key (contact_id, channel)
);
comment on table channel_opt_out is 'What a contact said of one channel; it outlives the contact''s record.';

-- The rules of every version, for who entered an older one that they keep.
create table version (
    sequence_id text collate "C" not null,
    version     bigint  not null check (version > 0),
    rules       json    not null,
    conditional boolean not null,                       -- some change of a contact may end its enrollments
    on_reply    boolean not null,
    primary key (sequence_id, version)
);
create index version_conditional on version (sequence_id, version) where conditional;

alter table sequence
    add column follow_version bigint  null,             -- the newest version that was published so that all follow it
    add column paused_epoch   bigint  null,             -- of the pause in which contacts are turned away, until it is over
    add column on_created     boolean not null default false,
    add column on_updated     boolean not null default false,
    add constraint sequence_triggers_are_published check (version is not null or not (on_created or on_updated)),
    add constraint sequence_deleted_keeps_nothing
        check (status <> 'deleted' or (follow_version is null and paused_epoch is null));
update sequence set paused_epoch = epoch where status = 'paused';
alter table sequence
    add constraint sequence_paused_has_its_epoch check (status <> 'paused' or paused_epoch is not null);
create index sequence_triggered on sequence (sequence_id) where on_created or on_updated;

-- A later entry (`enroll_once: false`) takes the ended one before it out of the unique key, so that it holds what lives and
-- what counts: never two live ones, whatever an edit says of entering once.
alter table enrollment drop constraint enrollment_check2;
alter table enrollment add constraint enrollment_what_lives_counts check (not allow_reentry or status <> 'active');
comment on column enrollment.allow_reentry is 'Does not count for entry: removed so, or followed by another entry.';

-- Who was refused because the sequence is paused, until that pause is over.
create table turned_away (
    sequence_id text collate "C" not null,
    contact_id  text collate "C" not null,
    epoch       bigint not null,                        -- of the pause
    via         text   not null check (via in ('command', 'import', 'trigger', 'admit')),
    primary key (sequence_id, contact_id)
);
create index turned_away_contact on turned_away (contact_id);
create index turned_away_pause on turned_away (sequence_id, epoch, contact_id);

-- Pauses that are over, until everybody who was turned away in them is asked again (`admit`), or forgotten.
create table ended_pause (
    sequence_id text collate "C" not null,
    epoch       bigint  not null,
    admit       boolean not null,
    cause       json    not null,
    primary key (sequence_id, epoch)
);

-- What delivery saw before a send, until enrollment knows as new a contact and sequence.
create table condition_met (
    enrollment_id    uuid primary key,
    sequence_id      text collate "C" not null,
    contact_id       text collate "C" not null,
    condition        text   not null check (condition in ('success', 'failure', 'replied', 'opted_out')),
    contact_version  bigint not null,
    sequence_version bigint not null,
    cause            json   not null
);
create index condition_met_contact on condition_met (contact_id);
create index condition_met_sequence on condition_met (sequence_id);
