-- grain: one row per click or impression of the tenant, as far back as any window reaches
select
    tenant_id,
    event_date,
    app_id,
    event_id as touch_id,
    event_type as touch_type,
    toDateTime64(event_time, 3, 'UTC') as touch_time,
    toUnixTimestamp64Milli(toDateTime64(event_time, 3, 'UTC')) as touch_ms,
    received_at as ingested_at,
    device_id,
    click_id,
    coalesce(source, '') as source,
    coalesce(medium, '') as medium,
    coalesce(campaign, '') as campaign,
    coalesce(adgroup, '') as adgroup,
    coalesce(creative, '') as creative
from {{ lake_events(['click', 'impression'], days_before=var('lookback_days')) }}
