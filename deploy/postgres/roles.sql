-- The schemas and roles of Sluice in one Postgres database. May be run again at any time: it changes nothing that is so already.
--
-- Run it as a superuser, connected to the database `sluice` (which must exist). The eight passwords are session settings, so that the
-- same file works through psql and through any driver:
--
--     PGOPTIONS="-c sluice.sequences_owner_password=... -c sluice.sequences_app_password=... (and so on)" psql -d sluice -v ON_ERROR_STOP=1 -f roles.sql
--     select set_config('sluice.sequences_owner_password', $1, false); ...   -- then the text of this file, in the same session
--
-- A password that is not given leaves an existing role's password as it is; a new role without one is refused.
--
-- Per service: `<service>_owner` owns the schema `<service>` and runs the migrations; `<service>_app` is what the service runs as. It
-- reads and writes rows there, changes no table, and has no rights in any other schema.

begin;

select pg_advisory_xact_lock(hashtext('sluice.roles'));

do $roles$
declare
    service  text;
    role     text;
    password text;
begin
    foreach service in array array['sequences', 'enrollment', 'delivery', 'console'] loop
        foreach role in array array[service || '_owner', service || '_app'] loop
            password := nullif(current_setting(format('sluice.%s_password', role), true), '');
            if not exists (select from pg_roles where rolname = role) then
                if password is null then
                    raise exception 'no password for the new role %: set sluice.%_password', role, role;
                end if;
                execute format('create role %I', role);
            end if;
            execute format('alter role %I login nosuperuser nocreatedb nocreaterole noreplication nobypassrls inherit', role);
            if password is not null then
                execute format('alter role %I password %L', role, password);
            end if;
        end loop;
    end loop;
end
$roles$;

-- Nobody gets in, or makes anything, by default.
do $database$
begin
    execute format('revoke all on database %I from public', current_database());
end
$database$;
revoke all on schema public from public;

do $schemas$
declare
    service text;
    owner   text;
    app     text;
begin
    foreach service in array array['sequences', 'enrollment', 'delivery', 'console'] loop
        owner := service || '_owner';
        app := service || '_app';

        execute format('grant connect on database %I to %I, %I', current_database(), owner, app);
        execute format('create schema if not exists %I authorization %I', service, owner);
        execute format('revoke all on schema %I from public', service);
        execute format('grant usage on schema %I to %I', service, app);

        -- What migrations make later: rows for the app, functions for nobody else.
        execute format('alter default privileges for role %I in schema %I grant select, insert, update, delete on tables to %I', owner, service, app);
        execute format('alter default privileges for role %I in schema %I grant usage, select on sequences to %I', owner, service, app);
        execute format('alter default privileges for role %I revoke execute on functions from public', owner);
        execute format('alter default privileges for role %I in schema %I grant execute on functions to %I', owner, service, app);

        execute format('alter role %I set search_path = %I', owner, service);
        execute format('alter role %I set lock_timeout = %L', owner, '10s');
        execute format('alter role %I set timezone = %L', owner, 'UTC');

        execute format('alter role %I set search_path = %I', app, service);
        execute format('alter role %I set timezone = %L', app, 'UTC');
        execute format('alter role %I set statement_timeout = %L', app, '30s');
        execute format('alter role %I set lock_timeout = %L', app, '10s');
        -- A process that is frozen inside a transaction keeps its row locks; after this long the server ends it.
        execute format('alter role %I set idle_in_transaction_session_timeout = %L', app, '2s');
    end loop;
end
$schemas$;

commit;
