-- grain: tenant x date received x app x network x campaign x source identifier x conversion window x event
{{ config(materialized='view') }}

select
    tenant_id,
    event_date,
    app_id,
    source,
    ad_network_id,
    campaign,
    source_identifier,
    sequence_index,
    arrayJoin(events) as event_name,
    toInt64(count()) as users
from {{ ref('int_skan_postbacks') }}
where is_counted
group by
    tenant_id, event_date, app_id, source, ad_network_id, campaign, source_identifier, sequence_index, event_name
