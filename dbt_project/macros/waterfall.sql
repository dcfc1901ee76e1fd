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
    from {{ ref('stg_touches') }} as touches
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
        conversions.conversion_ms - touches.touch_ms as ctit_ms,
        touches.touch_id as touch_id,
        touches.touch_type as touch_type,
        touches.touch_time as touch_time,
        touches.touch_ms as touch_ms,
        touches.ingested_at as ingested_at,
        touches.ip_pseudonym as ip_pseudonym,
        touches.source as source,
        touches.medium as medium,
        touches.campaign as campaign,
        touches.adgroup as adgroup,
        touches.creative as creative,
        multiIf(
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
    where touches.app_id = conversions.app_id and touches.event_date <= conversions.event_date
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

ranked as (
    select
        *,
        sum(is_in_window) over in_order as position_so_far,
        sum(judgement = 'eligible') over in_order as rank_so_far,
        max(judgement = 'eligible') over (partition by conversion_id) as has_eligible,
        max(judgement = 'eligible' and tier <= 2) over (partition by conversion_id) as has_eligible_click
    from judged
    window in_order as (
        partition by conversion_id
        order by tier asc, touch_ms desc, match_rank asc, ingested_at asc, touch_id asc
        rows between unbounded preceding and current row
    )
),

named as (
    select
        *,
        if(judgement = 'eligible', least(rank_so_far, 65535), 0) as place,
        ['referrer', 'click_id', 'device_id', 'probabilistic'][match_rank] as match_name
    from ranked
    where kind != 're_engagement' or has_eligible_click
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
