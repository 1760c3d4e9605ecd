-- What is suspended: everything (`all`), one channel (`channel:email`) or one sender (`sender:promo`). Written under the
-- exclusive gate lock where it closes, so that no claim that relied on an open scope is missed.
create table scope (
    scope         text        primary key check (scope ~ '^(all|(channel|sender):[A-Za-z0-9][A-Za-z0-9._-]*)$'),
    status        text        not null check (status in ('running', 'suspending', 'suspended')),
    epoch         bigint      not null check (epoch >= 0),
    changed_at    timestamptz not null,                  -- since when it is in this status: the breaker counts from here
    reason        text        null,
    in_flight     bigint      not null default 0 check (in_flight >= 0),    -- claimed when the suspension came
    halted_at     timestamptz null,                      -- the receipt's; null while it is owed
    cause         jsonb       null,                      -- of the suspension
    restore       jsonb       null,                      -- the cause of a restore that waits for the receipt
    breaker       boolean     not null default false,    -- suspended, or on trial, by the breaker
    trial         boolean     not null default false,    -- only a trickle is let through
    rest_seconds  double precision not null default 0 check (rest_seconds >= 0),
    check ((status = 'suspended') = (halted_at is not null)),
    check (restore is null or status = 'suspending'),
    check (not trial or (breaker and status = 'running'))
) with (fillfactor = 50);
