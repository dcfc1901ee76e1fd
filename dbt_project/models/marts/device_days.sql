-- grain: tenant x date x app x device x user, where the day says who the user is or holds a milestone
--
-- What later conversions need of days gone by, so that no day reads the lake's whole history: which devices are one
-- user's, and when a device first registered and first bought (milestones of the W model). Of these dates' events
-- alone, and of what the app itself says: a click's or an impression's user id is the ad network's word. A user id on
-- more than 20 devices of an app in a day is no person but a placeholder such as "guest": it counts as none.
{{ config(order_by=['tenant_id', 'event_date', 'app_id', 'device_id', 'user_id']) }}

with events as (
    select
        event_date,
        app_id,
        device_id,
        coalesce(user_id, '') as named_user_id,
        toDateTime64(event_time, 3, 'UTC') as event_time,
        event_type = 'event' and coalesce(event_name, '') = {{ sql_text(var('rules').registration_event) }}
            as is_registration,
        event_type = 'purchase' and coalesce(currency, '') = '{{ var("tenant_currency") }}' as is_purchase
    from {{ lake_events(['install', 'session', 'event', 'purchase'], only="device_id != ''") }}
),

device_days_by_named_user as (
    select
        event_date,
        app_id,
        assumeNotNull(device_id) as device_id,
        named_user_id,
        minOrNullIf(event_time, is_registration) as first_registered_at,
        minOrNullIf(event_time, is_purchase) as first_purchased_at,
        if(count() over (partition by event_date, app_id, named_user_id) > 20, '', named_user_id) as user_id
    from events
    where named_user_id != '' or is_registration or is_purchase
    group by event_date, app_id, device_id, named_user_id
)

select
    '{{ var("tenant_id") }}' as tenant_id,
    toDate(device_days_by_named_user.event_date) as event_date,
    app_id,
    device_id,
    user_id,
    min(first_registered_at) as registered_at,
    min(first_purchased_at) as purchased_at
from device_days_by_named_user
where user_id != '' or isNotNull(first_registered_at) or isNotNull(first_purchased_at)
group by event_date, app_id, device_id, user_id
