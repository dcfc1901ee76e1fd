-- grain: one row per click or impression of the tenant, from 30 days before the slice to its end, texts as they are
--
-- Millions are read and few match: filling the nulls of all of them took a sixth of the waterfall's time.
-- 30 days are the longest window any rule set may have: the trace holds what lies outside the window in force too.
select
    tenant_id,
    event_date,
    app_id,
    event_id as touch_id,
    event_type as touch_type,
    event_time,
    received_at as ingested_at,
    device_id,
    click_id,
    ip_pseudonym,
    user_agent_pseudonym,
    os_version,
    source,
    medium,
    campaign,
    adgroup,
    creative
from {{ lake_events(['click', 'impression'], days_before=30) }}
