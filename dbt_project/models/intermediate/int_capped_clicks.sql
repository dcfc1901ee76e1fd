-- grain: one row per click beyond the cap of its device, source and UTC day, by time and then by id
--
-- Two narrow readings of the clicks: one finds the few crowded device-days by hash, one puts only those in order.
with clicks as (
    select
        touch_id,
        app_id,
        device_id,
        source,
        event_date,
        touch_ms,
        cityHash64(app_id, device_id, source, event_date) as device_day
    from {{ ref('stg_touches') }}
    where touch_type = 'click' and device_id != ''
),

crowded as (
    select device_day
    from clicks
    group by device_day
    having count() > {{ var('rules').click_cap_per_day }}
),

in_order as (
    select
        touch_id,
        row_number() over (
            partition by app_id, device_id, source, event_date order by touch_ms asc, touch_id asc
        ) as position
    from clicks
    where device_day in (select crowded.device_day from crowded)
)

select touch_id
from in_order
where position > {{ var('rules').click_cap_per_day }}
