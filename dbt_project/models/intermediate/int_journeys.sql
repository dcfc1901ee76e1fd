-- grain: one row per conversion of the slice, with its journey oldest first
--
-- `touches` holds (touch_time, tier, touch_id, source, medium, campaign), ordered by the first three, the 500 most
-- recent. A conversion without a touch has one of source organic and no id. The places of the touches that led to
-- the milestones count from 1; 0 is unknown. An install has no milestones: it comes before them.
with collected as (
    select
        conversion_id,
        arraySlice(
            arraySort(groupUniqArray((touch_time, tier, touch_id, source, medium, campaign))), -500
        ) as found_touches
    from {{ ref('int_journey_touches') }}
    group by conversion_id
),

conversions_with_touches as (
    select conversions.*, collected.found_touches as found_touches
    from {{ ref('credited_conversions') }} as conversions
    left join collected on conversions.conversion_id = collected.conversion_id
    where
        conversions.tenant_id = '{{ var("tenant_id") }}'
        and conversions.event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
)

select
    event_date,
    app_id,
    conversion_type,
    event_name,
    conversion_id,
    revenue_micros,
    if(empty(found_touches), [(conversion_time, toUInt8(5), '', 'organic', '', '')], found_touches) as touches,
    arrayCount(
        at_time -> conversion_type != 'install' and at_time <= registered_at, tupleElement(touches, 1)
    ) as registration_place,
    arrayCount(
        at_time -> conversion_type != 'install' and at_time <= first_purchased_at, tupleElement(touches, 1)
    ) as first_purchase_place
from conversions_with_touches
