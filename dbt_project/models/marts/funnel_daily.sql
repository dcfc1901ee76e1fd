-- grain: tenant x date x app x source x campaign x step
--
-- What happened on one day, in two halves. Before the install: devices that a channel's ads reached, and those that
-- clicked. From the install on: devices that installed that day and are credited to the channel, and how far they
-- came on that same day. Within a half a later step implies the earlier ones, so counts never rise; between the
-- halves they may, as an install can follow a click of yesterday or one in a browser, which has its own device id.
{{ config(order_by=['tenant_id', 'event_date', 'app_id', 'source', 'campaign', 'step_index']) }}

with touches as (
    select
        event_date, app_id, source, campaign, touch_type,
        -- a touch whose sender knows no device stands for one of its own
        coalesce(nullIf(device_id, ''), touch_id) as device
    from {{ ref('stg_touches') }}
    where event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
),

touched as (
    select
        event_date,
        app_id,
        source,
        campaign,
        uniqExact(device) as seen,
        uniqExactIf(device, touch_type = 'click') as clicked
    from touches
    group by event_date, app_id, source, campaign
),

installs as (
    select
        event_date, app_id, source, campaign, device_id, install_id,
        toUnixTimestamp64Milli(install_time) as install_ms
    from {{ ref('installs') }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
),

installs_with_progress as (
    select
        installs.install_id as install_id,
        any(installs.event_date) as event_date,
        any(installs.app_id) as app_id,
        any(installs.source) as source,
        any(installs.campaign) as campaign,
        any(if(installs.device_id = '', installs.install_id, installs.device_id)) as device,
        maxIf(
            multiIf(
                activity.event_type = 'purchase', 6,
                activity.event_type = 'event', 5,
                activity.event_type = 'session', 4,
                3
            ),
            activity.event_ms >= installs.install_ms
        ) as furthest_step
    from installs
    left join {{ ref('stg_device_activity') }} as activity
        on
            installs.event_date = activity.event_date
            and installs.app_id = activity.app_id
            and installs.device_id = activity.device_id
    group by installs.install_id
),

installed as (
    select
        event_date,
        app_id,
        source,
        campaign,
        uniqExact(device) as installed,
        uniqExactIf(device, furthest_step >= 4) as opened,
        uniqExactIf(device, furthest_step >= 5) as used,
        uniqExactIf(device, furthest_step >= 6) as paid
    from installs_with_progress
    group by event_date, app_id, source, campaign
),

steps as (
    select
        event_date, app_id, source, campaign,
        arrayJoin([(1, 'impression', seen), (2, 'click', clicked)]) as reaching
    from touched
    union all
    select
        event_date, app_id, source, campaign,
        arrayJoin([(3, 'install', installed), (4, 'session', opened), (5, 'event', used), (6, 'purchase', paid)])
    from installed
)

select
    '{{ var("tenant_id") }}' as tenant_id,
    toDate(event_date) as event_date,
    app_id,
    source,
    campaign,
    toUInt8(reaching.1) as step_index,
    reaching.2 as step,
    toInt64(reaching.3) as devices
from steps
