-- grain: one row per install, session, named event or purchase of a known device inside the slice
select
    event_date,
    app_id,
    assumeNotNull(device_id) as device_id,
    event_type,
    toUnixTimestamp64Milli(toDateTime64(event_time, 3, 'UTC')) as event_ms,
    event_type = 'purchase' and coalesce(currency, '') = '{{ var("tenant_currency") }}' as is_paid,
    if(is_paid, coalesce(revenue_micros, 0), 0) as revenue_micros
from {{ lake_events(['install', 'session', 'event', 'purchase'], only="isNotNull(device_id) and device_id != ''") }}
