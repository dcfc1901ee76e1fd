-- grain: one row per session of the slice that begins after the device's inactivity
--
-- A device comes back at most once a UTC day, with its first activity of the day, since inactivity is a day or more.
-- That activity must be a session (at equal times an install comes first, then sessions, then the rest; then the
-- event id), nothing of the device in the inactivity time before it, and the device installed by then. Whether a click
-- brought it back is decided in touch_decisions.
{{ config(order_by=['tenant_id', 'event_date', 'app_id', 'session_id']) }}

{%- set rules = var('rules') %}
{%- set those = '(select present.app_id, present.device_id from session_devices as present)' %}
{%- set of_those = "device_id != '' and (app_id, device_id) in " ~ those %}
{%- set history_days = [days_of(rules.inactivity_ms) | int, rules.lookback_days] | max %}

with session_devices as (
    select app_id, device_id
    from {{ lake_events(['session'], only="device_id != ''") }}
),

active_days as (
    select
        app_id,
        assumeNotNull(device_id) as device_id,
        event_date,
        min(
            (
                toUnixTimestamp64Milli(toDateTime64(event_time, 3, 'UTC')),
                multiIf(event_type = 'install', 0, event_type = 'session', 1, 2),
                event_id,
                coalesce(ip_pseudonym, ''), coalesce(user_agent_pseudonym, ''), coalesce(os_version, '')
            )
        ) as opening,
        max(toUnixTimestamp64Milli(toDateTime64(event_time, 3, 'UTC'))) as last_ms
    from {{ lake_events(['install', 'session', 'event', 'purchase'], days_before=history_days, only=of_those) }}
    group by app_id, device_id, event_date
),

active_days_with_previous as (
    select
        *,
        lagInFrame(last_ms, 1, toInt64(0)) over by_day as seen_ms,
        lagInFrame(toDate(event_date), 1, toDate(0)) over by_day as seen_date
    from active_days
    window by_day as (
        partition by app_id, device_id
        order by event_date asc
        rows between unbounded preceding and current row
    )
),

returning_devices as (
    select
        event_date, app_id, device_id,
        -- a run over many dates sees further back than a run over this one: both must find the same
        if(seen_date < toDate(event_date) - {{ history_days }}, 0, seen_ms) as previous_ms,
        opening.1 as session_ms,
        opening.3 as session_id,
        opening.4 as ip_pseudonym,
        opening.5 as user_agent_pseudonym,
        opening.6 as os_version
    from active_days_with_previous
    where
        event_date >= '{{ var("start_date") }}'
        and opening.2 = 1
        and (previous_ms = 0 or opening.1 - previous_ms >= {{ rules.inactivity_ms }})
),

{# the history is the left side and streams by; the returns are the few that are held in memory #}
returns_with_install as (
    select
        returns.session_id as session_id,
        any(returns.event_date) as event_date,
        any(returns.app_id) as app_id,
        any(returns.device_id) as device_id,
        any(returns.session_ms) as session_ms,
        any(returns.previous_ms) as previous_ms,
        any(returns.ip_pseudonym) as ip_pseudonym,
        any(returns.user_agent_pseudonym) as user_agent_pseudonym,
        any(returns.os_version) as os_version,
        argMax(history.install_id, (history.install_time, history.install_id)) as install_id
    from {{ ref('install_events') }} as history
    inner join returning_devices as returns
        on history.app_id = returns.app_id and history.device_id = returns.device_id
    where
        history.tenant_id = '{{ var("tenant_id") }}'
        and history.event_date <= '{{ var("end_date") }}'
        and history.is_new
        and toUnixTimestamp64Milli(history.install_time) <= returns.session_ms
    group by returns.session_id
)

select
    '{{ var("tenant_id") }}' as tenant_id,
    toDate(returned.event_date) as event_date,
    session_id,
    app_id,
    device_id,
    fromUnixTimestamp64Milli(session_ms, 'UTC') as session_time,
    install_id,
    if(previous_ms = 0, null, fromUnixTimestamp64Milli(previous_ms, 'UTC')) as previous_activity_time,
    ip_pseudonym,
    user_agent_pseudonym,
    os_version
from returns_with_install as returned
