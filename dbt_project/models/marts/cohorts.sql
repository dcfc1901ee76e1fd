-- grain: tenant x date of the activity x date of the install x app x source x campaign
--
-- D_n of a cohort is the row of event_date = cohort_date + n, so a new day adds rows and rewrites none. Activity
-- belongs to the device's latest new install at or before it, for life. A channel with spend and no install keeps
-- its spend, in a day-0 row whose cohort is empty.
{{ config(order_by=['tenant_id', 'event_date', 'cohort_date', 'app_id', 'source', 'campaign']) }}

with device_days as (
    select
        event_date,
        app_id,
        device_id,
        groupArray((event_ms, is_paid, revenue_micros)) as happenings
    from {{ ref('stg_device_activity') }}
    group by event_date, app_id, device_id
),

installs as (
    select
        event_date as cohort_date, app_id, device_id, install_id, source, campaign,
        toUnixTimestamp64Milli(install_time) as install_ms
    from {{ ref('installs') }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date between toDate('{{ var("start_date") }}') - 180 and toDate('{{ var("end_date") }}')
),

-- the slice's devices on the right: they are few, and the installs of half a year stream past them
device_days_with_installs as (
    select
        device_days.event_date as event_date,
        device_days.app_id as app_id,
        device_days.device_id as device_id,
        any(device_days.happenings) as happenings,
        arraySort(
            groupArray(
                (
                    installs.install_ms, installs.install_id,
                    installs.cohort_date, installs.source, installs.campaign
                )
            )
        ) as installs_in_order
    from installs
    inner join device_days on installs.app_id = device_days.app_id and installs.device_id = device_days.device_id
    where installs.cohort_date between device_days.event_date - 180 and device_days.event_date
    group by device_days.event_date, device_days.app_id, device_days.device_id
),

happenings_with_install as (
    select
        event_date,
        app_id,
        device_id,
        arrayJoin(happenings) as happening,
        arrayLast(install -> install.1 <= happening.1, installs_in_order) as install
    from device_days_with_installs
),

activity as (
    select
        event_date,
        app_id,
        install.3 as cohort_date,
        install.4 as source,
        install.5 as campaign,
        uniqExact(device_id) as active_devices,
        uniqExactIf(device_id, happening.2) as purchasers,
        sum(happening.3) as revenue_micros
    from happenings_with_install
    where install.2 != ''
    group by event_date, app_id, cohort_date, source, campaign
),

new_cohorts as (
    select cohort_date, app_id, source, campaign, count() as cohort_size
    from installs
    where cohort_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
    group by cohort_date, app_id, source, campaign
),

spend as (
    select event_date, app_id, source, campaign, sum(spend_micros) as spend_micros
    from {{ ref('stg_ad_spend') }}
    group by event_date, app_id, source, campaign
),

facts as (
    select
        event_date, cohort_date, app_id, source, campaign,
        0 as cohort_size, active_devices, purchasers, revenue_micros, 0 as spend_micros
    from activity
    union all
    select cohort_date as event_date, cohort_date, app_id, source, campaign, cohort_size, 0, 0, 0, 0 from new_cohorts
    union all
    select event_date, event_date as cohort_date, app_id, source, campaign, 0, 0, 0, 0, spend_micros from spend
),

totals as (
    select
        toDate(event_date) as event_date,
        toDate(cohort_date) as cohort_date,
        app_id,
        source,
        campaign,
        toInt64(sum(cohort_size)) as cohort_size,
        toInt64(sum(active_devices)) as active_devices,
        toInt64(sum(purchasers)) as purchasers,
        toInt64(sum(revenue_micros)) as revenue_micros,
        toInt64(sum(spend_micros)) as spend_micros
    from facts
    group by event_date, cohort_date, app_id, source, campaign
)

select
    '{{ var("tenant_id") }}' as tenant_id,
    event_date,
    cohort_date,
    toUInt16(event_date - cohort_date) as day_n,
    app_id,
    source,
    campaign,
    cohort_size,
    active_devices,
    purchasers,
    revenue_micros,
    spend_micros
from totals
