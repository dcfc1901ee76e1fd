-- grain: tenant x date x app x device, where it registered or bought that day
--
-- The milestones of the W model, for conversions of any later day. Apart from device_days because all of history is
-- read for them, and few devices have one on a day.
{{ config(order_by=['tenant_id', 'event_date', 'app_id', 'device_id']) }}

with events as (
    select
        event_date,
        app_id,
        assumeNotNull(device_id) as device_id,
        toDateTime64(event_time, 3, 'UTC') as event_time,
        event_type = 'event' and coalesce(event_name, '') = {{ sql_text(var('rules').registration_event) }}
            as is_registration,
        event_type = 'purchase' and coalesce(currency, '') = '{{ var("tenant_currency") }}' as is_purchase
    from {{ lake_events(['event', 'purchase'], only="device_id != ''") }}
)

select
    '{{ var("tenant_id") }}' as tenant_id,
    toDate(events.event_date) as event_date,
    app_id,
    device_id,
    minOrNullIf(event_time, is_registration) as registered_at,
    minOrNullIf(event_time, is_purchase) as purchased_at
from events
where is_registration or is_purchase
group by event_date, app_id, device_id
