-- grain: tenant x date x app x conversion type x event name x path of channels (sources, oldest first)
--
-- Conversions are those of the date, with the journeys that attribution_credits holds. Nulls are journeys that came
-- to nothing: a device whose last touch's click window (the rule set's own) closed on the date, with the touches up to
-- one window before that touch, so up to two windows back. A journey is no null for a conversion type when one of its
-- touches holds credit for such a conversion, or its device had one between its first touch and the close (for
-- installs: ever before the close, as an installed device cannot install anew).
--
-- A touch that lands after its date's slice was built moves the nulls of closes up to two windows later; those dates
-- are not asked for again for that alone (a late event reopens conversions, ADR 4): a backfill of them sets it right.
--
-- RIGHT JOINs: what came of journeys is streamed past them; they are the side kept in memory.
{{ config(order_by=['tenant_id', 'event_date', 'app_id', 'conversion_type', 'event_name', 'path']) }}
{%- set window_ms = var('rules').click_window_ms %}
{%- set two_windows_days = 'intDiv(2 * ' ~ window_ms ~ ' + 86399999, 86400000)' %}

with converted_journeys as (
    select
        event_date, app_id, conversion_type, event_name, conversion_id,
        arrayMap(touch -> touch.2, arraySort(groupArray((position, source)))) as path,
        sum(revenue_micros) as value_micros
    from {{ ref('attribution_credits') }}
    where
        tenant_id = '{{ var("tenant_id") }}' and model = 'linear'
        and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
    group by event_date, app_id, conversion_type, event_name, conversion_id
),

devices_with_touches as (
    select
        app_id,
        device_id,
        arraySort(
            groupArray(
                (
                    toUnixTimestamp64Milli(toDateTime64(event_time, 3, 'UTC')),
                    if(event_type = 'click', 1, 3),
                    event_id,
                    coalesce(source, '')
                )
            )
        ) as touches
    from {{ lake_events(['click', 'impression'], days_before=two_windows_days, only="device_id != ''") }}
    group by app_id, device_id
),

installs as (
    select app_id, device_id, install_id, install_time
    from {{ ref('installs') }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date <= '{{ var("end_date") }}'
        and device_id != ''
),

-- a touch that no other follows within the window, and whose window closes in the slice
closed_journeys as (
    select
        app_id,
        device_id,
        tupleElement(touches, 1) as times_ms,
        arrayJoin(
            arrayFilter(
                (place, touch) -> (place = length(touches) or times_ms[place + 1] > touch.1 + {{ window_ms }})
                and toDate(fromUnixTimestamp64Milli(touch.1 + {{ window_ms }}, 'UTC'))
                between '{{ var("start_date") }}' and '{{ var("end_date") }}',
                arrayEnumerate(touches),
                touches
            )
        ) as last_place,
        times_ms[last_place] as last_ms,
        last_ms + {{ window_ms }} as closes_ms,
        arraySlice(
            arrayFilter(touch -> touch.1 >= last_ms - {{ window_ms }}, arraySlice(touches, 1, last_place)), -500
        ) as journey
    from devices_with_touches
),

-- all installs stream past by device alone: with a key of conversion type and text each took twice the time
closed_journeys_with_installs as (
    select
        closed_journeys.app_id as app_id,
        closed_journeys.device_id as device_id,
        closed_journeys.last_ms as last_ms,
        any(closed_journeys.closes_ms) as closes_ms,
        any(closed_journeys.journey) as journey,
        countIf(
            installs.install_id != '' and toUnixTimestamp64Milli(installs.install_time) <= closed_journeys.closes_ms
        ) > 0 as is_installed
    from installs
    right join closed_journeys -- noqa: CV08
        on installs.app_id = closed_journeys.app_id and installs.device_id = closed_journeys.device_id
    group by closed_journeys.app_id, closed_journeys.device_id, closed_journeys.last_ms
),

closed_journeys_by_type as (
    select
        app_id,
        device_id,
        last_ms,
        closes_ms,
        arrayMin(tupleElement(journey, 1)) as first_ms,
        journey,
        arrayJoin(
            arrayConcat(
                if(is_installed, [], [('install', '')]),
                [('purchase', '')],
                arrayMap(
                    name -> ('event', name), cast({{ sql_texts(var('rules').conversion_events) }} as Array(String))
                )
            )
        ) as kind
    from closed_journeys_with_installs
),

-- what could have come of a journey is looked up by its device and by each of its touches
closed_journeys_by_key as (
    select
        *,
        arrayJoin(arrayConcat([('device', device_id)], arrayMap(touch -> ('touch', touch.3), journey))) as journey_key
    from closed_journeys_by_type
),

outcomes as (
    select
        app_id,
        (conversion_type, event_name) as kind,
        ('touch', touch_id) as journey_key,
        toUnixTimestamp(toDateTime(event_date, 'UTC')) * 1000 as outcome_ms,
        true as is_at_any_time
    from {{ ref('attribution_credits') }}
    where
        tenant_id = '{{ var("tenant_id") }}' and model = 'linear' and touch_id != ''
        and event_date between toDate('{{ var("start_date") }}') - {{ two_windows_days }} and '{{ var("end_date") }}'

    union all

    select
        app_id,
        (conversion_type, event_name) as kind,
        ('device', device_id) as journey_key,
        toUnixTimestamp64Milli(conversion_time) as outcome_ms,
        false as is_at_any_time
    from {{ ref('credited_conversions') }}
    array join devices as device_id
    where
        tenant_id = '{{ var("tenant_id") }}' and conversion_type != 'install'
        and event_date between toDate('{{ var("start_date") }}') - {{ two_windows_days }} and '{{ var("end_date") }}'
),

journeys_with_outcomes as (
    select
        closed_journeys_by_key.app_id as app_id,
        closed_journeys_by_key.kind as kind,
        closed_journeys_by_key.device_id as device_id,
        closed_journeys_by_key.last_ms as last_ms,
        any(closed_journeys_by_key.journey) as journey,
        any(closed_journeys_by_key.closes_ms) as closes_ms,
        countIf(
            outcomes.outcome_ms > 0
            and outcomes.outcome_ms <= closed_journeys_by_key.closes_ms
            and (outcomes.is_at_any_time or outcomes.outcome_ms >= closed_journeys_by_key.first_ms)
        ) as outcome_count
    from outcomes
    right join closed_journeys_by_key -- noqa: CV08
        on
            outcomes.app_id = closed_journeys_by_key.app_id
            and outcomes.kind = closed_journeys_by_key.kind
            and outcomes.journey_key = closed_journeys_by_key.journey_key
    group by app_id, kind, device_id, last_ms
),

journeys as (
    select
        event_date, app_id, conversion_type, event_name, path,
        1 as conversions,
        0 as nulls,
        value_micros
    from converted_journeys

    union all

    select
        toDate(fromUnixTimestamp64Milli(closes_ms, 'UTC')) as event_date,
        app_id,
        kind.1 as conversion_type,
        kind.2 as event_name,
        arrayMap(touch -> touch.4, journey) as path,
        0 as conversions,
        1 as nulls,
        0 as value_micros
    from journeys_with_outcomes
    where outcome_count = 0
)

select
    '{{ var("tenant_id") }}' as tenant_id,
    event_date,
    app_id,
    conversion_type,
    event_name,
    path,
    toInt64(sum(journeys.conversions)) as conversions,
    toInt64(sum(journeys.nulls)) as nulls,
    toInt64(sum(journeys.value_micros)) as value_micros
from journeys
group by event_date, app_id, conversion_type, event_name, path
