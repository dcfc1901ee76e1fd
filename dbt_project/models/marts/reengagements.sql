-- grain: one row per reinstall and per re-engagement (a device that came back after a click)
--
-- re_attribution: a reinstall with an eligible touch; reinstall: one without; re_engagement: a returning session with
-- an eligible click (returning_sessions, touch_decisions). A re_attribution and a re_engagement open a window in which
-- revenue is theirs; a reinstall opens one only where the rule set makes it organic. Under "keep" it has the channel,
-- match type and tier of the install it belongs to, no touch of its own, and a window that ends as it begins.
{{ config(order_by=['tenant_id', 'event_date', 'app_id', 'conversion_id']) }}

{%- set rules = var('rules') %}
{%- set keeps = rules.reinstall_without_touch == 'keep' %}

with decisions as (
    select
        conversion_id,
        any(decided.event_date) as event_date,
        any(decided.app_id) as app_id,
        any(decided.device_id) as device_id,
        any(decided.conversion_time) as conversion_time,
        any(decided.install_id) as install_id,
        any(decided.conversion_type) as conversion_type,
        anyIf(
            (
                match_type, tier, touch_id, touch_type, touch_time, ctit_ms, source, medium, campaign, adgroup,
                creative
            ),
            candidate_rank = 1
        ) as winner,
        arrayMap(
            assist -> assist.2, arraySort(groupArrayIf((candidate_rank, touch_id), verdict = 'assist'))
        ) as assists
    from {{ ref('touch_decisions') }} as decided
    where
        decided.tenant_id = '{{ var("tenant_id") }}'
        and decided.event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
        and decided.conversion_type != 'install'
        and decided.candidate_rank > 0
    group by decided.conversion_id
),

touched_conversions as (
    select
        event_date, conversion_id, conversion_type, app_id, device_id, conversion_time, install_id,
        winner.1 as match_type,
        winner.2 as tier,
        winner.3 as touch_id,
        winner.4 as touch_type,
        toNullable(winner.5) as touch_time,
        toNullable(winner.6) as ctit_ms,
        winner.7 as source,
        winner.8 as medium,
        winner.9 as campaign,
        winner.10 as adgroup,
        winner.11 as creative,
        assists,
        {{ rules.reengagement_window_ms }} as window_ms
    from decisions
),

untouched_reinstalls as (
    select event_date, install_id as conversion_id, app_id, device_id, install_time as conversion_time, installation_id
    from {{ ref('install_events') }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
        and not is_new
        and install_id not in (select decisions.conversion_id from decisions)
),

channels_without_touch as (
    {% if keeps %}
    select install_id, match_type, tier, source, medium, campaign, adgroup, creative
    from {{ ref('installs') }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date <= '{{ var("end_date") }}'
        and event_date >= toDate('{{ var("start_date") }}') - {{ days_of(rules.reattribution_window_ms) }}
        and install_id in (select repeated.installation_id from untouched_reinstalls as repeated)
    {% else %}
    select
        installation_id as install_id,
        'organic' as match_type,
        toUInt8(5) as tier,
        'organic' as source,
        '' as medium,
        '' as campaign,
        '' as adgroup,
        '' as creative
    from untouched_reinstalls
    group by installation_id
    {% endif %}
),

reinstalls as (
    select
        reinstalls.event_date as event_date,
        reinstalls.conversion_id as conversion_id,
        'reinstall' as conversion_type,
        reinstalls.app_id as app_id,
        reinstalls.device_id as device_id,
        reinstalls.conversion_time as conversion_time,
        reinstalls.installation_id as install_id,
        kept.match_type as match_type,
        kept.tier as tier,
        '' as touch_id,
        '' as touch_type,
        null as touch_time,
        null as ctit_ms,
        kept.source as source,
        kept.medium as medium,
        kept.campaign as campaign,
        kept.adgroup as adgroup,
        kept.creative as creative,
        cast([] as Array(String)) as assists,
        {{ 0 if keeps else rules.reengagement_window_ms }} as window_ms
    from untouched_reinstalls as reinstalls
    left join channels_without_touch as kept on reinstalls.installation_id = kept.install_id
),

conversions as (
    select * from touched_conversions
    union all
    select * from reinstalls
)

select
    '{{ var("tenant_id") }}' as tenant_id,
    toDate(conversions.event_date) as event_date,
    conversion_id,
    conversion_type,
    app_id,
    device_id,
    conversion_time,
    install_id,
    match_type,
    tier,
    touch_id,
    touch_type,
    touch_time,
    ctit_ms,
    source,
    medium,
    campaign,
    adgroup,
    creative,
    assists,
    fromUnixTimestamp64Milli(toUnixTimestamp64Milli(conversion_time) + window_ms, 'UTC') as window_ends_at,
    '{{ var("ruleset_hash") }}' as ruleset_hash
from conversions
