{#
  The waterfall, once: which touches are candidates, and what is decided of each. The marts and their versions under
  other rules (`restatement/`) give it different conversions; what it says stands at `int_candidates` and
  `touch_decisions`.
#}

{% macro candidates_of(conversions) %}
{%- set fingerprint = ['ip_pseudonym', 'user_agent_pseudonym', 'os_version'] %}

with conversion_keys as (
    select
        conversions.*,
        key.1 as key_rank,
        key.2 as key_hash
    from {{ conversions }} as conversions
    array join
        [
            (1, {{ match_key('c', ['referrer_click_id']) }}),
            (2, {{ match_key('c', ['click_id']) }}),
            (3, {{ match_key('d', ['device_id']) }}),
            (4, {{ match_key('f', fingerprint, day='event_date') }}),
            (4, {{ match_key('f', fingerprint, day='event_date - 1') }})
        ] as key
    where key_hash != 0
),

touch_keys as (
    select
        touches.*,
        arrayJoin(
            arrayFilter(
                touch_key -> touch_key in (select key_hash from conversion_keys),
                [
                    if(touch_type = 'click', {{ match_key('c', ['click_id']) }}, 0),
                    {{ match_key('d', ['device_id']) }},
                    {{ match_key('f', fingerprint, day='event_date') }}
                ]
            )
        ) as key_hash
    from {{ ref('stg_touch_rows') }} as touches
),

pairs as (
    select
        conversions.event_date as event_date,
        conversions.app_id as app_id,
        conversions.conversion_id as conversion_id,
        conversions.install_id as install_id,
        conversions.device_id as device_id,
        conversions.kind as kind,
        conversions.conversion_time as conversion_time,
        conversions.since_ms as since_ms,
        conversions.install_begin_ms as install_begin_ms,
        conversions.key_rank as key_rank,
        conversions.conversion_ms - touch_ms as ctit_ms,
        touches.touch_id as touch_id,
        touches.touch_type as touch_type,
        toDateTime64(touches.event_time, 3, 'UTC') as touch_time,
        toUnixTimestamp64Milli(touch_time) as touch_ms,
        touches.ingested_at as ingested_at,
        coalesce(touches.ip_pseudonym, '') as ip_pseudonym,
        coalesce(touches.source, '') as source,
        coalesce(touches.medium, '') as medium,
        coalesce(touches.campaign, '') as campaign,
        coalesce(touches.adgroup, '') as adgroup,
        coalesce(touches.creative, '') as creative,
        multiIf(
            touches.app_id != conversions.app_id, 0,
            touch_type = 'click' and touches.click_id != '' and touches.click_id = conversions.referrer_click_id, 1,
            touch_type = 'click' and touches.click_id != '' and touches.click_id = conversions.click_id, 2,
            touches.device_id != '' and touches.device_id = conversions.device_id, 3,
            touches.ip_pseudonym = conversions.ip_pseudonym
            and touches.user_agent_pseudonym = conversions.user_agent_pseudonym
            and touches.os_version = conversions.os_version, 4,
            0
        ) as match_rank
    from touch_keys as touches
    inner join conversion_keys as conversions on touches.key_hash = conversions.key_hash
    where touches.event_date <= conversions.event_date
)

select *
from pairs
where
    match_rank = key_rank
    and (
        (match_rank < 4 and ctit_ms between -3600000 and 2592000000)
        or (match_rank = 4 and ctit_ms between 0 and 86400000)
    )
{% endmacro %}

{% macro decisions_of(candidates) %}
{%- set rules = var('rules') %}

with candidates as (
    select
        *,
        if(touch_type = 'click', 1, 3) + (match_rank = 4) as tier,
        multiIf(
            touch_type = 'click' and match_rank < 4, {{ channel_window('click_window_ms') }},
            touch_type = 'click', {{ channel_window('probabilistic_click_window_ms') }},
            match_rank < 4, {{ channel_window('view_window_ms') }},
            {{ channel_window('probabilistic_view_window_ms') }}
        ) as window_ms,
        touch_type = 'click' and kind != 're_engagement' as may_be_injected
    from {{ candidates }}
),

judged as (
    select
        *,
        multiIf(
            ctit_ms < 0, 'after_conversion',
            window_ms = 0, 'method_off',
            ctit_ms > window_ms or touch_ms <= since_ms, 'outside_window',
            may_be_injected and (
                ctit_ms < {{ rules.min_ctit_ms }} or (install_begin_ms > 0 and touch_ms > install_begin_ms)
            ), 'injection',
            touch_type = 'click' and touch_id in (select touch_id from {{ ref('int_capped_clicks') }}),
            'hyper_engagement',
            {{ is_one_of('ip_pseudonym', rules.blocked_ip_pseudonyms) }}, 'blocked_ip',
            'eligible'
        ) as judgement,
        judgement not in ('after_conversion', 'method_off', 'outside_window') as is_in_window
    from candidates
),

{# arrays of a conversion's touches: window functions over the joined rows took 3 CPU seconds more of 15 #}
conversions_with_touches as (
    select
        conversion_id,
        any(judged.event_date) as event_date,
        any(judged.app_id) as app_id,
        any(judged.kind) as kind,
        any(judged.conversion_time) as conversion_time,
        any(judged.device_id) as device_id,
        any(judged.install_id) as install_id,
        any(judged.install_begin_ms) as install_begin_ms,
        arraySort(
            groupArray(
                (
                    tier, -touch_ms, match_rank, ingested_at, touch_id,
                    judgement, is_in_window, touch_type, touch_time, ctit_ms, window_ms, ip_pseudonym,
                    source, medium, campaign, adgroup, creative
                )
            )
        ) as listed,
        arrayCumSum(touch -> touch.7, listed) as positions,
        arrayCumSum(touch -> touch.6 = 'eligible', listed) as places,
        has(listed.6, 'eligible') as has_eligible
    from judged
    group by conversion_id
    having kind != 're_engagement' or arrayExists(touch -> touch.6 = 'eligible' and touch.1 <= 2, listed)
),

ranked as (
    select * except (listed, positions, places), touch, position, place as rank_so_far
    from conversions_with_touches
    array join listed as touch, positions as position, places as place
),

named as (
    select
        *,
        touch.1 as tier,
        -touch.2 as touch_ms,
        touch.3 as match_rank,
        touch.5 as touch_id,
        touch.6 as judgement,
        touch.7 as is_in_window,
        touch.8 as touch_type,
        touch.9 as touch_time,
        touch.10 as ctit_ms,
        touch.11 as window_ms,
        touch.12 as ip_pseudonym,
        touch.13 as source,
        touch.14 as medium,
        touch.15 as campaign,
        touch.16 as adgroup,
        touch.17 as creative,
        position as position_so_far,
        if(judgement = 'eligible', least(rank_so_far, 65535), 0) as place,
        ['referrer', 'click_id', 'device_id', 'probabilistic'][match_rank] as match_name
    from ranked
)

select
    '{{ var("tenant_id") }}' as tenant_id,
    named.event_date as event_date,
    app_id,
    conversion_id,
    if(kind = 'reinstall' and has_eligible, 're_attribution', kind) as conversion_type,
    conversion_time,
    touch_id,
    touch_type,
    touch_time,
    ip_pseudonym as touch_ip_pseudonym,
    source,
    medium,
    campaign,
    adgroup,
    creative,
    match_name as match_type,
    toUInt8(tier) as tier,
    ctit_ms,
    window_ms,
    toUInt16(place) as candidate_rank,
    multiIf(judgement != 'eligible', judgement, place = 1, 'won', place <= 4, 'assist', 'eligible') as verdict,
    multiIf(
        judgement = 'eligible',
        concat(
            touch_type, ' by ', match_name, ' ', toString(ctit_ms), ' ms before the conversion, within the window of ',
            toString(window_ms), ' ms: number ', toString(place), ' in order'
        ),
        judgement = 'after_conversion',
        concat(touch_type, ' ', toString(-ctit_ms), ' ms after the conversion'),
        judgement = 'method_off',
        concat(touch_type, 's by ', match_name, ' are switched off for this channel'),
        judgement = 'outside_window' and ctit_ms > window_ms,
        concat(
            touch_type, ' ', toString(ctit_ms), ' ms before the conversion: the window is ', toString(window_ms), ' ms'
        ),
        judgement = 'outside_window',
        concat(touch_type, ' not after the device\'s ', if(kind = 'reinstall', 'previous install', 'last activity')),
        judgement = 'injection' and ctit_ms < {{ rules.min_ctit_ms }},
        concat('click ', toString(ctit_ms), ' ms before the install: less than {{ rules.min_ctit_ms }} ms'),
        judgement = 'injection',
        concat('click ', toString(touch_ms - install_begin_ms), ' ms after the install began'),
        judgement = 'hyper_engagement',
        'click beyond the {{ rules.click_cap_per_day }} that a device may have of a source on a day',
        'the touch came from a network that the rule set blocks'
    ) as reason,
    '{{ var("ruleset_hash") }}' as ruleset_hash,
    toUInt16(if(is_in_window, least(position_so_far, 65535), 0)) as waterfall_position,
    device_id,
    install_id
from named
{% endmacro %}
