-- grain: conversion x model x touch that has credit; a conversion without touches has one row per model, touch_id ''
--
-- Weights by resources/credit/positional.py's rules, which a test compares with these. Rows of weight 0 are left out.
{{ config(order_by=['tenant_id', 'event_date', 'app_id', 'conversion_type', 'conversion_id', 'model', 'position']) }}

with journeys_with_keys as (
    select
        *,
        length(touches) as n,
        arrayEnumerate(touches) as places,
        touches[-1] as newest_touch,
        registration_place > 0 or first_purchase_place > 0 as has_milestone,
        -- how many of the W model's three key touches a touch is; the last touch stands in for one unknown milestone
        [1, if(registration_place = 0, n, registration_place), if(first_purchase_place = 0, n, first_purchase_place)]
            as key_places,
        arrayMap(place -> countEqual(key_places, place), places) as key_counts,
        arrayCount(key_count -> key_count = 0, key_counts) as others,
        -- 2^(-age / 7 d), counted from the youngest touch so that nothing underflows
        arrayMap(touch -> exp2(dateDiff('millisecond', newest_touch.1, touch.1) / (7 * 86400000)), touches) as decays,
        arraySum(decays) as decay_sum,
        arrayMap(place -> multiIf(n <= 2, 1 / n, place in (1, n), 0.4, 0.2 / (n - 2)), places) as position_weights
    from {{ ref('int_journeys') }}
),

journeys_with_models as (
    select
        *,
        arrayJoin(
            [
                ('first', arrayMap(place -> toFloat64(place = 1), places)),
                ('last', arrayMap(place -> toFloat64(place = n), places)),
                ('linear', arrayMap(place -> 1 / n, places)),
                ('position', position_weights),
                (
                    'w',
                    if(
                        has_milestone,
                        arrayMap(
                            key_count -> multiIf(
                                others = 0, key_count / 3, key_count > 0, 0.3 * key_count, 0.1 / others
                            ),
                            key_counts
                        ),
                        position_weights
                    )
                ),
                ('time_decay', arrayMap(decay -> decay / decay_sum, decays))
            ]
        ) as model_weights
    from journeys_with_keys
),

allotments as (
    select
        event_date, app_id, conversion_type, event_name, conversion_id, revenue_micros, touches, places,
        model_weights.1 as model,
        model_weights.2 as weights,
        {{ allotment_columns('revenue_micros', 'weights') }}
    from journeys_with_models
),

credits as (
    select
        *,
        arrayJoin(places) as place,
        touches[place] as touch
    from allotments
)

select
    '{{ var("tenant_id") }}' as tenant_id,
    event_date,
    app_id,
    conversion_type,
    event_name,
    conversion_id,
    model,
    touch.3 as touch_id,
    toUInt16(place) as position,
    touch.4 as source,
    touch.5 as medium,
    touch.6 as campaign,
    if(touch_id = '', null, touch.1) as touch_time,
    weights[place] as weight,
    {{ allotted('revenue_micros', 'place') }} as revenue_micros,
    '{{ var("ruleset_hash") }}' as ruleset_hash
from credits
where weight > 0
