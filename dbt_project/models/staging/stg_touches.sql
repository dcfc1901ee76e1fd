-- grain: one row per click or impression of the tenant, from 30 days before the slice to its end, no text null
select
    tenant_id,
    event_date,
    app_id,
    touch_id,
    touch_type,
    toDateTime64(event_time, 3, 'UTC') as touch_time,
    toUnixTimestamp64Milli(toDateTime64(event_time, 3, 'UTC')) as touch_ms,
    ingested_at,
    coalesce(device_id, '') as device_id,
    coalesce(click_id, '') as click_id,
    coalesce(ip_pseudonym, '') as ip_pseudonym,
    coalesce(user_agent_pseudonym, '') as user_agent_pseudonym,
    coalesce(os_version, '') as os_version,
    coalesce(source, '') as source,
    coalesce(medium, '') as medium,
    coalesce(campaign, '') as campaign,
    coalesce(adgroup, '') as adgroup,
    coalesce(creative, '') as creative
from {{ ref('stg_touch_rows') }}
