-- grain: tenant x date
{{ config(order_by=['tenant_id', 'event_date']) }}

with totals as (
    select
        tenant_id,
        event_date,
        count() as events,
        uniqExactIf(
            (app_id, device_id),
            event_type in ('install', 'session', 'event', 'purchase') and isNotNull(device_id)
        ) as active_users,
        uniqExactIf((app_id, device_id), event_type = 'install') as new_users,
        countIf(event_type = 'session') as sessions,
        countIf(event_type = 'purchase') as purchases,
        sumIf(coalesce(revenue_micros, 0), event_type = 'purchase' and is_tenant_currency) as revenue_micros,
        countIf(event_type = 'purchase' and not is_tenant_currency) as purchases_other_currency
    from {{ ref('stg_activity') }}
    group by tenant_id, event_date
)

select
    tenant_id,
    toDate(totals.event_date) as event_date,
    toInt64(totals.events) as events,
    toInt64(totals.active_users) as active_users,
    toInt64(totals.new_users) as new_users,
    toInt64(totals.sessions) as sessions,
    toInt64(totals.purchases) as purchases,
    toInt64(totals.revenue_micros) as revenue_micros,
    toInt64(totals.purchases_other_currency) as purchases_other_currency
from totals
