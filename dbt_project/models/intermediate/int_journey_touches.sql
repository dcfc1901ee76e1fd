-- grain: conversion x eligible touch
--
-- An install's touches are those that touch_decisions ranks. A purchase or event has its install's, from any date, and
-- those of the user's devices after the install and up to the conversion: inside the window of their channel, not
-- beyond the click cap, not from a blocked network. Without an install the window alone bounds them.
with install_decisions as (
    select app_id, conversion_id, touch_id, touch_time, tier, source, medium, campaign
    from {{ ref('touch_decisions') }}
    where
        tenant_id = '{{ var("tenant_id") }}' and event_date <= '{{ var("end_date") }}'
        and conversion_type = 'install' and candidate_rank > 0
        -- the table's order, so that only these installs' granules are read, however long the history
        and (event_date, app_id, conversion_id) in (
            select toDate(found.install_time), found.app_id, found.install_id
            from {{ ref('credited_conversions') }} as found
            where
                found.tenant_id = '{{ var("tenant_id") }}' and found.install_id != ''
                and found.event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
        )
),

conversions as (
    select * from {{ ref('credited_conversions') }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
),

conversions_by_device as (
    select
        app_id,
        conversion_id,
        conversion_time,
        coalesce(install_time, toDateTime64(0, 3, 'UTC')) as after_time,
        arrayJoin(devices) as device_id
    from {{ ref('credited_conversions') }}
    where
        tenant_id = '{{ var("tenant_id") }}' and conversion_type != 'install'
        and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
),

touches as (
    select
        *,
        if(
            touch_type = 'click', {{ channel_window('click_window_ms') }}, {{ channel_window('view_window_ms') }}
        ) as window_ms
    from {{ ref('stg_touches') }}
    where
        event_date >= toDate('{{ var("start_date") }}') - {{ var('rules').lookback_days }}
        and not {{ is_one_of('ip_pseudonym', var('rules').blocked_ip_pseudonyms) }}
)

select
    conversions.conversion_id as conversion_id,
    install_decisions.touch_id as touch_id,
    install_decisions.touch_time as touch_time,
    install_decisions.tier as tier,
    install_decisions.source as source,
    install_decisions.medium as medium,
    install_decisions.campaign as campaign
from install_decisions
inner join conversions
    on
        install_decisions.app_id = conversions.app_id
        and install_decisions.conversion_id = conversions.install_id

union all

select
    conversions_by_device.conversion_id as conversion_id,
    touches.touch_id as touch_id,
    touches.touch_time as touch_time,
    toUInt8(if(touches.touch_type = 'click', 1, 3)) as tier,
    touches.source as source,
    touches.medium as medium,
    touches.campaign as campaign
from touches
inner join conversions_by_device
    on touches.app_id = conversions_by_device.app_id and touches.device_id = conversions_by_device.device_id
where
    touches.window_ms > 0
    and touches.touch_id not in (select capped.touch_id from {{ ref('int_capped_clicks') }} as capped)
    and touches.touch_time > conversions_by_device.after_time
    and touches.touch_time <= conversions_by_device.conversion_time
    and toUnixTimestamp64Milli(conversions_by_device.conversion_time) - touches.touch_ms <= touches.window_ms
