-- grain: one row per spend report inside the slice, in the tenant's currency
select
    tenant_id,
    event_date,
    app_id,
    coalesce(source, '') as source,
    coalesce(campaign, '') as campaign,
    assumeNotNull(spend_micros) as spend_micros
from {{ lake_events(['ad_spend'], only="currency = '" ~ var("tenant_currency") ~ "'") }}
