-- grain: one row per purchase inside the slice
select
    tenant_id,
    event_date,
    app_id,
    event_id as purchase_id,
    toDateTime64(event_time, 3, 'UTC') as purchase_time,
    coalesce(device_id, '') as device_id,
    assumeNotNull(revenue_micros) as revenue_micros,
    currency = '{{ var("tenant_currency") }}' as is_tenant_currency
from {{ lake_events(['purchase']) }}
