-- Providers' reports may come before the send is booked that they are about: they are kept, and looked at again.
create table early_report (
    message_id          uuid        not null,
    kind                text        not null check (kind in ('delivered', 'read', 'bounced', 'complained')),
    provider            text        not null,
    provider_message_id text        null,
    heard_at            timestamptz not null,
    look_at             timestamptz not null,
    primary key (message_id, kind)
);
create index early_report_look on early_report (look_at);
create index early_report_heard on early_report (heard_at);

-- A reply names the message that it quotes by the provider's id, or its sender's number alone.
create index message_provider on message (provider_message_id) where provider_message_id is not null;
create index contact_whatsapp on contact ((regexp_replace(addresses ->> 'whatsapp', '[^0-9]', '', 'g')))
    where addresses ? 'whatsapp';
