-- grain: one row per conversion that multi-touch credit is given for: new install, purchase in the tenant's currency,
-- named event of the rule set's conversion_events
--
-- A purchase or event belongs to its device's latest new install at or before it. One user's devices are those seen
-- with the same user id in the app, on the conversion's day or up to the longest window's days before: a touch on a
-- device not seen for longer lies outside the window anyway. A user of more than 20 is no person (as in device_days).
-- An install's journey is what touch_decisions ranks for it: it has its own device alone and comes before milestones.
--
-- RIGHT JOINs: the long history is streamed past the slice's few rows, which are the side that is kept in memory.
{{ config(order_by=['tenant_id', 'event_date', 'app_id', 'conversion_type', 'conversion_id']) }}

{%- set is_credited -%}
    if(
        event_type = 'purchase',
        coalesce(currency, '') = '{{ var("tenant_currency") }}',
        {{ is_one_of("coalesce(event_name, '')", var('rules').conversion_events) }}
    )
{%- endset %}

with activity as (
    select
        event_date,
        app_id,
        event_type as conversion_type,
        if(event_type = 'event', coalesce(event_name, ''), '') as event_name,
        event_id as conversion_id,
        coalesce(device_id, '') as device_id,
        coalesce(user_id, '') as user_id,
        toDateTime64(event_time, 3, 'UTC') as conversion_time,
        if(event_type = 'purchase', coalesce(revenue_micros, 0), 0) as revenue_micros
    from {{ lake_events(['purchase', 'event'], only=is_credited) }}
),

install_history as (
    select app_id, device_id, install_id, install_time
    from {{ ref('installs') }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date <= '{{ var("end_date") }}'
        and device_id != ''
),

activity_with_installs as (
    select
        any(activity.event_date) as event_date,
        any(activity.app_id) as app_id,
        any(activity.conversion_type) as conversion_type,
        any(activity.event_name) as event_name,
        activity.conversion_id as conversion_id,
        any(activity.device_id) as device_id,
        any(activity.user_id) as user_id,
        any(activity.conversion_time) as conversion_time,
        any(activity.revenue_micros) as revenue_micros,
        argMaxIf(
            (install_history.install_id, install_history.install_time),
            (install_history.install_time, install_history.install_id),
            install_history.install_id != '' and install_history.install_time <= activity.conversion_time
        ) as install
    from install_history
    right join activity -- noqa: CV08
        on install_history.app_id = activity.app_id and install_history.device_id = activity.device_id
    group by activity.conversion_id
),

activity_of_installs as (
    select
        * except (install),
        install.1 as install_id,
        if(install.1 = '', null, install.2) as install_time
    from activity_with_installs
),

sightings as (
    select app_id, user_id, device_id, event_date
    from {{ ref('device_days') }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date between toDate('{{ var("start_date") }}') - {{ var('rules').lookback_days }}
        and toDate('{{ var("end_date") }}')
),

activity_with_devices as (
    select
        any(activity_of_installs.event_date) as event_date,
        any(activity_of_installs.app_id) as app_id,
        any(activity_of_installs.conversion_type) as conversion_type,
        any(activity_of_installs.event_name) as event_name,
        activity_of_installs.conversion_id as conversion_id,
        any(activity_of_installs.device_id) as device_id,
        any(activity_of_installs.user_id) as user_id,
        any(activity_of_installs.conversion_time) as conversion_time,
        any(activity_of_installs.install_id) as install_id,
        any(activity_of_installs.install_time) as install_time,
        any(activity_of_installs.revenue_micros) as revenue_micros,
        groupUniqArrayIf(
            sightings.device_id,
            sightings.user_id != ''
            and sightings.event_date between activity_of_installs.event_date - {{ var('rules').lookback_days }}
            and activity_of_installs.event_date
        ) as seen_devices
    from sightings
    right join activity_of_installs -- noqa: CV08
        on sightings.app_id = activity_of_installs.app_id and sightings.user_id = activity_of_installs.user_id
    group by activity_of_installs.conversion_id
),

activity_of_users as (
    select
        * except (seen_devices),
        arraySort(
            arrayFilter(
                device -> device != '',
                arrayDistinct(arrayPushBack(if(length(seen_devices) > 20, [], seen_devices), device_id))
            )
        ) as devices
    from activity_with_devices
),

milestones as (
    select app_id, device_id, registered_at, purchased_at
    from {{ ref('device_milestones') }}
    where tenant_id = '{{ var("tenant_id") }}' and event_date <= '{{ var("end_date") }}'
),

activity_by_device as (
    select *, arrayJoin(if(empty(devices), [''], devices)) as milestone_device
    from activity_of_users
)

select
    '{{ var("tenant_id") }}' as tenant_id,
    toDate(any(activity_by_device.event_date)) as event_date,
    any(activity_by_device.app_id) as app_id,
    any(activity_by_device.conversion_type) as conversion_type,
    any(activity_by_device.event_name) as event_name,
    activity_by_device.conversion_id as conversion_id,
    any(activity_by_device.device_id) as device_id,
    any(activity_by_device.user_id) as user_id,
    any(activity_by_device.devices) as devices,
    any(activity_by_device.conversion_time) as conversion_time,
    any(activity_by_device.install_id) as install_id,
    any(activity_by_device.install_time) as install_time,
    minOrNullIf(
        milestones.registered_at, milestones.registered_at <= activity_by_device.conversion_time
    ) as registered_at,
    minOrNullIf(
        milestones.purchased_at, milestones.purchased_at <= activity_by_device.conversion_time
    ) as first_purchased_at,
    toInt64(any(activity_by_device.revenue_micros)) as revenue_micros
from milestones
right join activity_by_device -- noqa: CV08
    on
        milestones.app_id = activity_by_device.app_id
        and milestones.device_id = activity_by_device.milestone_device
group by activity_by_device.conversion_id

union all

select
    tenant_id,
    event_date,
    app_id,
    'install' as conversion_type,
    '' as event_name,
    install_id as conversion_id,
    device_id,
    user_id,
    if(device_id = '', cast([] as Array(String)), [device_id]) as devices,
    install_time as conversion_time,
    install_id,
    install_time,
    null as registered_at,
    null as first_purchased_at,
    toInt64(0) as revenue_micros
from {{ ref('installs') }}
where
    tenant_id = '{{ var("tenant_id") }}'
    and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
