-- grain: tenant x date x app x device x user
--
-- What later conversions need of days gone by, so that no day reads the lake's whole history: which devices are one
-- user's. Of these dates' events alone, and of what the app itself says: a click's or an impression's user id is the ad
-- network's word. A user id on more than 20 devices of an app in a day is no person but a placeholder such as "guest":
-- it counts as none.
{{ config(order_by=['tenant_id', 'event_date', 'app_id', 'device_id', 'user_id']) }}

with device_users as (
    select event_date, app_id, assumeNotNull(device_id) as device_id, assumeNotNull(user_id) as user_id
    from {{ lake_events(['install', 'session', 'event', 'purchase'], only="device_id != '' and user_id != ''") }}
    group by event_date, app_id, device_id, user_id
),

device_users_with_crowds as (
    select *, count() over (partition by event_date, app_id, user_id) as devices
    from device_users
)

select
    '{{ var("tenant_id") }}' as tenant_id,
    toDate(device_users_with_crowds.event_date) as event_date,
    app_id,
    device_id,
    user_id
from device_users_with_crowds
where devices <= 20
