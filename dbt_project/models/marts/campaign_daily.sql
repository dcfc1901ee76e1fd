-- grain: tenant x date x app x source x campaign x model
--
-- Spend, touches and revenue count on their own day; revenue is that of the primary rows of attributed_purchases, so
-- its sum is the tenant's revenue ('unattributed' where no install is known). A campaign with spend and no conversion
-- keeps its spend.
--
-- Model last_touch is the waterfall's winner. The models of multi-touch credit have the same spend and touches beside
-- their own credit: parts of installs, and revenue of any purchase, whose sum over the campaigns is the revenue too.
-- So a question that is not about models asks for one model's rows.
{{ config(order_by=['tenant_id', 'event_date', 'app_id', 'source', 'campaign', 'model']) }}

with spend as (
    select event_date, app_id, source, campaign, sum(spend_micros) as spend_micros
    from {{ ref('stg_ad_spend') }}
    group by event_date, app_id, source, campaign
),

touches as (
    select
        event_date, app_id, source, campaign,
        countIf(touch_type = 'impression') as impressions,
        countIf(touch_type = 'click') as clicks
    from {{ ref('stg_touches') }}
    where event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
    group by event_date, app_id, source, campaign
),

installs as (
    select event_date, app_id, source, campaign, count() as installs
    from {{ ref('installs') }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
    group by event_date, app_id, source, campaign
),

revenue as (
    select event_date, app_id, source, campaign, sum(revenue_micros) as revenue_micros
    from {{ ref('attributed_purchases') }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
        and is_primary
    group by event_date, app_id, source, campaign
),

credits as (
    select
        event_date, app_id, source, campaign, model,
        {{ exact_sum("if(conversion_type = 'install', weight, 0)") }} as credited_installs,
        sumIf(revenue_micros, conversion_type = 'purchase') as revenue_micros
    from {{ ref('attribution_credits') }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
        and conversion_type in ('install', 'purchase')
    group by event_date, app_id, source, campaign, model
),

facts as (
    select
        event_date,
        app_id,
        source,
        campaign,
        arrayJoin(['last_touch', 'first', 'last', 'linear', 'position', 'w', 'time_decay']) as model,
        spend_micros,
        0 as impressions,
        0 as clicks,
        0 as installs,
        0.0 as credited_installs,
        0 as revenue_micros
    from spend
    union all
    select
        event_date, app_id, source, campaign,
        arrayJoin(['last_touch', 'first', 'last', 'linear', 'position', 'w', 'time_decay']) as model,
        0, impressions, clicks, 0, 0.0, 0
    from touches
    union all
    select
        event_date, app_id, source, campaign, 'last_touch', 0, 0, 0, installs, toFloat64(installs), 0
    from installs
    union all
    select event_date, app_id, source, campaign, 'last_touch', 0, 0, 0, 0, 0.0, revenue_micros from revenue
    union all
    select event_date, app_id, source, campaign, model, 0, 0, 0, 0, credited_installs, revenue_micros from credits
),

totals as (
    select
        event_date, app_id, source, campaign, model,
        toInt64(sum(spend_micros)) as spend_micros,
        toInt64(sum(impressions)) as impressions,
        toInt64(sum(clicks)) as clicks,
        toInt64(sum(installs)) as installs,
        sum(credited_installs) as credited_installs,
        toInt64(sum(revenue_micros)) as revenue_micros
    from facts
    group by event_date, app_id, source, campaign, model
)

select
    '{{ var("tenant_id") }}' as tenant_id,
    toDate(totals.event_date) as event_date,
    app_id,
    source,
    campaign,
    model,
    spend_micros,
    impressions,
    clicks,
    installs,
    revenue_micros,
    if(credited_installs > 0 and spend_micros > 0, spend_micros / credited_installs, null) as cpi_micros,
    if(spend_micros > 0, revenue_micros / spend_micros, null) as roas,
    credited_installs
from totals
