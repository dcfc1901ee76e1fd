-- grain: tenant x date x app x source x campaign x model
--
-- Spend, touches and revenue count on their own day; revenue goes to the campaign of the user's latest install
-- before the purchase. A campaign with spend and no install keeps its spend.
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

install_history as (
    select app_id, device_id, install_id, install_time, source, campaign
    from {{ ref('installs') }}
    where tenant_id = '{{ var("tenant_id") }}' and event_date <= '{{ var("end_date") }}' and device_id != ''
),

purchases_with_install as (
    select
        purchases.purchase_id as purchase_id,
        any(purchases.event_date) as event_date,
        any(purchases.app_id) as app_id,
        any(purchases.revenue_micros) as revenue_micros,
        argMax(
            (install_history.source, install_history.campaign),
            (install_history.install_time, install_history.install_id)
        ) as channel
    from {{ ref('stg_purchases') }} as purchases
    inner join install_history
        on purchases.app_id = install_history.app_id and purchases.device_id = install_history.device_id
    where purchases.is_tenant_currency and install_history.install_time <= purchases.purchase_time
    group by purchases.purchase_id
),

revenue as (
    select
        event_date, app_id, channel.1 as source, channel.2 as campaign, sum(revenue_micros) as revenue_micros
    from purchases_with_install
    group by event_date, app_id, source, campaign
),

facts as (
    select
        event_date,
        app_id,
        source,
        campaign,
        spend_micros,
        0 as impressions,
        0 as clicks,
        0 as installs,
        0 as revenue_micros
    from spend
    union all
    select event_date, app_id, source, campaign, 0, impressions, clicks, 0, 0 from touches
    union all
    select event_date, app_id, source, campaign, 0, 0, 0, installs, 0 from installs
    union all
    select event_date, app_id, source, campaign, 0, 0, 0, 0, revenue_micros from revenue
),

totals as (
    select
        event_date, app_id, source, campaign,
        toInt64(sum(spend_micros)) as spend_micros,
        toInt64(sum(impressions)) as impressions,
        toInt64(sum(clicks)) as clicks,
        toInt64(sum(installs)) as installs,
        toInt64(sum(revenue_micros)) as revenue_micros
    from facts
    group by event_date, app_id, source, campaign
)

select
    '{{ var("tenant_id") }}' as tenant_id,
    toDate(totals.event_date) as event_date,
    app_id,
    source,
    campaign,
    'last_touch' as model,
    spend_micros,
    impressions,
    clicks,
    installs,
    revenue_micros,
    if(installs > 0 and spend_micros > 0, spend_micros / installs, null) as cpi_micros,
    if(spend_micros > 0, revenue_micros / spend_micros, null) as roas
from totals
