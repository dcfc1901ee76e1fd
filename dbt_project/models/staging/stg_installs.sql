-- grain: one row per install event inside the slice, new installs and repeated ones alike
select
    tenant_id,
    event_date,
    app_id,
    event_id as install_id,
    toDateTime64(event_time, 3, 'UTC') as install_time,
    toUnixTimestamp64Milli(toDateTime64(event_time, 3, 'UTC')) as install_ms,
    coalesce(device_id, '') as device_id,
    coalesce(user_id, '') as user_id,
    coalesce(click_id, '') as click_id,
    coalesce(referrer_click_id, '') as referrer_click_id,
    toDateTime64(install_begin_time, 3, 'UTC') as install_begin_time,
    coalesce(ip_pseudonym, '') as ip_pseudonym,
    coalesce(user_agent_pseudonym, '') as user_agent_pseudonym,
    coalesce(platform, '') as platform,
    coalesce(os_version, '') as os_version,
    coalesce(device_model, '') as device_model,
    coalesce(country, '') as country
from {{ lake_events(['install']) }}
