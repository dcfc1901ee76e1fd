-- grain: tenant x date x app x publisher (source) x rule
--
-- Rejected: touches that a rule of fraud took out before credit, and the installs they reached for. Flagged, after
-- credit, and without changing it: publishers whose click-to-install times (CTIT) are not those of people, and the
-- flags of the installs credited to a publisher.
-- short_ctit_share: share of installs with a CTIT below 10 s, injected clicks included (2.5 % normal, 17 % abnormal).
-- click_flooding: clicks that know nothing of the install spread over the whole window. Of people 75 % install within
-- an hour and 94 % within a day; all three must fail: both shares, and the density of hours 2 to 24 over that of days
-- 2 to 7, which is 16 of people and 1 where it is flat.
-- The norm is that of the app's other publishers of the day where they have a hundred installs, else the field's; a
-- share differs from it only beyond 3.5 standard errors, one false alarm in 4,000 publisher-days, and never below
-- twenty installs. From the rows of its own date alone: a slice never depends on another.
{{ config(order_by=['tenant_id', 'event_date', 'app_id', 'source', 'rule']) }}

{%- set min_installs = 20 %}
{%- set min_others = 100 %}
{%- set standard_errors = 3.5 %}
{%- set flat_below = 4 %}
{%- set hour_ms, day_ms, short_ms = 3600000, 86400000, 10000 %}

with decisions as (
    select event_date, app_id, source, conversion_id, touch_id, touch_type, ctit_ms, conversion_type, verdict
    from {{ ref('touch_decisions') }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
        and verdict not in ('outside_window', 'after_conversion', 'method_off')
),

rejections as (
    select
        event_date, app_id, source, verdict as rule,
        uniqExact(touch_id) as touches,
        uniqExact(conversion_id) as installs
    from decisions
    where verdict in ('injection', 'hyper_engagement', 'blocked_ip')
    group by event_date, app_id, source, rule
),

reaching as (
    select event_date, app_id, source, uniqExact(conversion_id) as conversions
    from decisions
    group by event_date, app_id, source
),

claimed_installs as (
    select event_date, app_id, source, conversion_id, min(ctit_ms) as ctit_ms, max(verdict = 'won') as is_credited
    from decisions
    where conversion_type = 'install' and touch_type = 'click' and verdict in ('won', 'injection')
    group by event_date, app_id, source, conversion_id
),

publishers as (
    select
        event_date,
        app_id,
        source,
        count() as claimed,
        countIf(ctit_ms < {{ short_ms }}) as short,
        countIf(is_credited) as credited,
        countIf(is_credited and ctit_ms < {{ hour_ms }}) as within_hour,
        countIf(is_credited and ctit_ms < {{ day_ms }}) as within_day,
        countIf(is_credited and ctit_ms >= 2 * {{ hour_ms }} and ctit_ms < {{ day_ms }}) as hours_2_to_24,
        countIf(is_credited and ctit_ms >= {{ day_ms }} and ctit_ms < 7 * {{ day_ms }}) as days_2_to_7
    from claimed_installs
    group by event_date, app_id, source
),

publishers_with_others as (
    select
        *,
        sum(claimed) over app_day - claimed as others_claimed,
        sum(short) over app_day - short as others_short,
        sum(credited) over app_day - credited as others_credited,
        sum(within_hour) over app_day - within_hour as others_within_hour,
        sum(within_day) over app_day - within_day as others_within_day
    from publishers
    window app_day as (partition by event_date, app_id)
),

publishers_with_norms as (
    select
        *,
        short / claimed as short_share,
        within_hour / credited as hour_share,
        within_day / credited as day_share,
        if(others_claimed >= {{ min_others }}, greatest(others_short / others_claimed, 0.025), 0.025) as short_norm,
        if(others_credited >= {{ min_others }}, others_within_hour / others_credited, 0.75) as hour_norm,
        if(others_credited >= {{ min_others }}, others_within_day / others_credited, 0.94) as day_norm,
        (hours_2_to_24 / 22) / greatest(days_2_to_7 / 144, 1e-9) as slope
    from publishers_with_others
),

suspicions as (
    select
        *,
        claimed >= {{ min_installs }}
        and short_share - {{ standard_errors }} * sqrt(short_norm * (1 - short_norm) / claimed) > short_norm
            as has_short_ctit,
        credited >= {{ min_installs }}
        and hour_share + {{ standard_errors }} * sqrt(hour_norm * (1 - hour_norm) / credited) < hour_norm
        and day_share + {{ standard_errors }} * sqrt(day_norm * (1 - day_norm) / credited) < day_norm
        and slope < {{ flat_below }} as is_flooding
    from publishers_with_norms
),

flagged_publishers as (
    select
        event_date, app_id, source, 'short_ctit_share' as rule, claimed as installs,
        short_share as share, short_norm as norm,
        concat(
            toString(short), ' of ', toString(claimed), ' installs came less than 10 s after the click: ',
            toString(round(100 * short_norm, 1)), ' % are usual'
        ) as reason
    from suspicions
    where has_short_ctit

    union all

    select
        event_date, app_id, source, 'click_flooding' as rule, credited as installs,
        hour_share as share, hour_norm as norm,
        concat(
            toString(round(100 * hour_share, 1)), ' % of ', toString(credited), ' installs came within an hour of the ',
            'click (usual: ', toString(round(100 * hour_norm, 1)), ' %) and ', toString(round(100 * day_share, 1)),
            ' % within a day (usual: ', toString(round(100 * day_norm, 1)), ' %), spread evenly over the window'
        ) as reason
    from suspicions
    where is_flooding
),

installs as (
    select event_date, app_id, source, count() as installs
    from {{ ref('installs') }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
    group by event_date, app_id, source
),

flagged_installs as (
    select event_date, app_id, source, flag as rule, uniqExact(install_id) as flagged
    from {{ ref('install_flags') }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
    group by event_date, app_id, source, rule
),

facts as (
    select
        rejections.event_date as event_date,
        rejections.app_id as app_id,
        rejections.source as source,
        rejections.rule as rule,
        'rejected' as verdict,
        rejections.touches as touches,
        rejections.installs as installs,
        rejections.installs / reaching.conversions as share,
        0. as norm,
        concat(
            toString(rejections.touches), ' touches rejected, which reached for ', toString(rejections.installs),
            ' of the ', toString(reaching.conversions), ' conversions that the publisher had a touch for'
        ) as reason
    from rejections
    inner join reaching
        on
            rejections.event_date = reaching.event_date
            and rejections.app_id = reaching.app_id
            and rejections.source = reaching.source

    union all

    select event_date, app_id, source, rule, 'flagged' as verdict, 0 as touches, installs, share, norm, reason
    from flagged_publishers

    union all

    select
        flagged_installs.event_date as event_date,
        flagged_installs.app_id as app_id,
        flagged_installs.source as source,
        flagged_installs.rule as rule,
        'flagged' as verdict,
        0 as touches,
        flagged_installs.flagged as installs,
        flagged_installs.flagged / installs.installs as share,
        0. as norm,
        concat(
            toString(flagged_installs.flagged), ' of ', toString(installs.installs), ' installs carry the flag'
        ) as reason
    from flagged_installs
    inner join installs
        on
            flagged_installs.event_date = installs.event_date
            and flagged_installs.app_id = installs.app_id
            and flagged_installs.source = installs.source
)

select
    '{{ var("tenant_id") }}' as tenant_id,
    toDate(event_date) as event_date,
    app_id,
    source,
    rule,
    verdict,
    toInt64(touches) as touches,
    toInt64(installs) as installs,
    toFloat64(share) as share,
    toFloat64(norm) as norm,
    reason
from facts
