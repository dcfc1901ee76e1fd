-- grain: one row per event of any type inside the slice
select
    tenant_id,
    event_date,
    event_type,
    app_id,
    device_id,
    revenue_micros,
    coalesce(currency, '') = '{{ var("tenant_currency") }}' as is_tenant_currency
from {{ lake_events([]) }}
