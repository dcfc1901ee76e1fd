-- grain: one row per event of the slice that a touch may have caused: installs, reinstalls, returning sessions
--
-- `since_ms`: touches up to then had their effect before (the device's previous install event, or its last activity).
{{ install_conversions_of(ref('install_events')) }}
union all

select
    event_date,
    app_id,
    device_id,
    session_id as conversion_id,
    install_id,
    're_engagement' as kind,
    session_time as conversion_time,
    toUnixTimestamp64Milli(session_time) as conversion_ms,
    coalesce(toUnixTimestamp64Milli(previous_activity_time), 0) as since_ms,
    0 as install_begin_ms,
    '' as click_id,
    '' as referrer_click_id,
    ip_pseudonym,
    user_agent_pseudonym,
    os_version
from {{ ref('returning_sessions') }}
where
    tenant_id = '{{ var("tenant_id") }}'
    and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
