-- grain: tenant x date of the install x app x source x campaign x day after it, up to the tenant's newest day
--
-- Every day of a cohort is there, also one on which nobody came back; size and spend are those of day 0. A rate is
-- null where there is nobody, or nothing spent, to divide by.
{{ config(materialized='view') }}

with newest_days as (
    select tenant_id, max(event_date) as newest_date
    from {{ ref('cohorts') }}
    group by tenant_id
),

cohorts_from_day_0 as (
    select
        tenant_id, app_id, source, campaign, cohort_date,
        toInt64(sum(cohort_size)) as cohort_size, toInt64(sum(spend_micros)) as spend_micros
    from {{ ref('cohorts') }}
    where day_n = 0
    group by tenant_id, app_id, source, campaign, cohort_date
),

cohort_days as (
    select
        cohorts_from_day_0.*,
        arrayJoin(
            range(toUInt16(least(180, newest_days.newest_date - cohorts_from_day_0.cohort_date) + 1))
        ) as day_n
    from cohorts_from_day_0
    inner join newest_days on cohorts_from_day_0.tenant_id = newest_days.tenant_id
),

days_with_activity as (
    select
        cohort_days.tenant_id as tenant_id,
        cohort_days.app_id as app_id,
        cohort_days.source as source,
        cohort_days.campaign as campaign,
        cohort_days.cohort_date as cohort_date,
        toUInt16(cohort_days.day_n) as day_n,
        cohort_days.cohort_size as cohort_size,
        cohort_days.spend_micros as spend_micros,
        activity.active_devices as active_devices,
        activity.purchasers as purchasers,
        activity.revenue_micros as revenue_micros
    from cohort_days
    left join {{ ref('cohorts') }} as activity
        on
            cohort_days.tenant_id = activity.tenant_id
            and cohort_days.app_id = activity.app_id
            and cohort_days.source = activity.source
            and cohort_days.campaign = activity.campaign
            and cohort_days.cohort_date = activity.cohort_date
            and cohort_days.day_n = activity.day_n
),

cumulated as (
    select
        *,
        sum(revenue_micros) over (
            partition by tenant_id, app_id, source, campaign, cohort_date
            order by day_n
        ) as revenue_to_date_micros
    from days_with_activity
)

select
    tenant_id,
    cohort_date + day_n as event_date,
    cohort_date,
    day_n,
    app_id,
    source,
    campaign,
    cohort_size,
    spend_micros,
    active_devices,
    purchasers,
    revenue_micros,
    revenue_to_date_micros,
    if(cohort_size > 0, active_devices / cohort_size, null) as retention,
    if(cohort_size > 0, revenue_to_date_micros / cohort_size, null) as revenue_per_install_micros,
    if(spend_micros > 0, revenue_to_date_micros / spend_micros, null) as roas
from cumulated
