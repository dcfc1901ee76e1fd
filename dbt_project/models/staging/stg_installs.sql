-- grain: one row per install event inside the slice
select
    tenant_id,
    event_date,
    app_id,
    event_id as install_id,
    toDateTime64(event_time, 3, 'UTC') as install_time,
    toUnixTimestamp64Milli(toDateTime64(event_time, 3, 'UTC')) as install_ms,
    device_id,
    click_id,
    referrer_click_id,
    coalesce(platform, '') as platform,
    coalesce(country, '') as country
from {{ lake_events(['install']) }}
