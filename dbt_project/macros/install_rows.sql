{#
  Installs, once: which install events are new, the conversions that they are, and the rows of `installs`. The marts and
  their versions under other rules (`restatement/`) give them different relations; what they say stands at
  `install_events`, `int_conversions` and `installs`.
#}

{# `history`: the install events of earlier dates. #}
{% macro install_events_of(history) %}
{%- set window_ms = var('rules').reattribution_window_ms %}

with events as (
    select * from {{ ref('stg_installs') }}
),

devices_before as (
    select
        app_id,
        device_id,
        maxIf(toUnixTimestamp64Milli(install_time), is_new) as last_new_ms,
        argMaxIf(install_id, (install_time, install_id), is_new) as last_new_id,
        max(toUnixTimestamp64Milli(install_time)) as last_ms
    from {{ history }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date < '{{ var("start_date") }}'
        and event_date >= toDate('{{ var("start_date") }}') - {{ days_of(window_ms) }}
        and device_id != ''
        and (app_id, device_id) in (select app_id, device_id from events)
    group by app_id, device_id
),

-- the few devices that have more than one install event, or one before
repeating_devices as (
    select
        events.app_id as app_id,
        events.device_id as device_id,
        arraySort(groupArray((events.install_ms, events.install_id))) as occurrences,
        any(devices_before.last_new_ms) as last_new_ms,
        any(devices_before.last_new_id) as last_new_id,
        any(devices_before.last_ms) as last_ms
    from events
    left join devices_before
        on events.app_id = devices_before.app_id and events.device_id = devices_before.device_id
    where events.device_id != ''
    group by events.app_id, events.device_id
    having length(occurrences) > 1 or last_new_id != ''
),

-- state: last new install's time and id, last install event's time, and what was found for each so far
folded as (
    select
        app_id,
        arrayJoin(
            arrayFold(
                (state, occurrence) -> if(
                    state.2 != '' and occurrence.1 - state.1 <= {{ window_ms }},
                    (state.1, state.2, occurrence.1, arrayPushBack(state.4, (occurrence.2, state.2, state.3))),
                    (
                        occurrence.1, occurrence.2, occurrence.1,
                        arrayPushBack(state.4, (occurrence.2, occurrence.2, toInt64(0)))
                    )
                ),
                occurrences,
                (
                    last_new_ms, last_new_id, last_ms,
                    cast([] as Array(Tuple(String, String, Int64)))
                )
            ).4
        ) as found
    from repeating_devices
),

repeated_events as (
    select found.1 as install_id, found.2 as installation_id, found.3 as previous_ms
    from folded
)

select
    events.tenant_id as tenant_id,
    toDate(events.event_date) as event_date,
    events.install_id as install_id,
    events.app_id as app_id,
    events.device_id as device_id,
    events.install_time as install_time,
    toUInt8(repeated_events.installation_id = '' or repeated_events.installation_id = events.install_id) as is_new,
    if(repeated_events.installation_id = '', events.install_id, repeated_events.installation_id) as installation_id,
    if(
        repeated_events.previous_ms = 0, null, fromUnixTimestamp64Milli(repeated_events.previous_ms, 'UTC')
    ) as previous_install_time,
    events.user_id as user_id,
    events.platform as platform,
    events.os_version as os_version,
    events.device_model as device_model,
    events.country as country,
    events.click_id as click_id,
    events.referrer_click_id as referrer_click_id,
    events.install_begin_time as install_begin_time,
    events.ip_pseudonym as ip_pseudonym,
    events.user_agent_pseudonym as user_agent_pseudonym
from events
left join repeated_events on events.install_id = repeated_events.install_id
{% endmacro %}

{% macro install_conversions_of(events) %}
select
    event_date,
    app_id,
    device_id,
    events.install_id as conversion_id,  -- qualified: the alias of the next line would hide the column
    events.installation_id as install_id,
    if(is_new, 'install', 'reinstall') as kind,
    install_time as conversion_time,
    toUnixTimestamp64Milli(install_time) as conversion_ms,
    coalesce(toUnixTimestamp64Milli(previous_install_time), 0) as since_ms,
    coalesce(toUnixTimestamp64Milli(install_begin_time), 0) as install_begin_ms,
    click_id,
    referrer_click_id,
    ip_pseudonym,
    user_agent_pseudonym,
    os_version
from {{ events }} as events
where
    tenant_id = '{{ var("tenant_id") }}'
    and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
{% endmacro %}

{% macro installs_of(events, decisions) %}
with events as (
    select * from {{ events }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
        and is_new
),

decisions as (
    select * from {{ decisions }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
        and conversion_type = 'install'
),

winners as (
    select
        conversion_id, match_type, tier, touch_id, touch_type, touch_time, ctit_ms, source, medium, campaign, adgroup,
        creative
    from decisions
    where candidate_rank = 1
),

{# a winner stands at its own position, so a rejected touch above one is one of a lower position #}
installs_with_further_touches as (
    select
        conversion_id,
        minIf(waterfall_position, candidate_rank = 1) as winner_position,
        arrayMap(
            assist -> assist.2, arraySort(groupArrayIf((candidate_rank, touch_id), verdict = 'assist'))
        ) as assists,
        arraySort(
            groupArrayIf(
                (waterfall_position, verdict, source), verdict in ('injection', 'hyper_engagement', 'blocked_ip')
            )
        ) as rejected,
        arrayFilter(touch -> winner_position = 0 or touch.1 < winner_position, rejected) as rejected_above
    from decisions
    where verdict in ('won', 'assist', 'injection', 'hyper_engagement', 'blocked_ip')
    group by conversion_id
    having length(assists) > 0 or length(rejected_above) > 0
)

select
    events.tenant_id as tenant_id,
    events.event_date as event_date,
    events.install_id as install_id,
    events.app_id as app_id,
    events.device_id as device_id,
    events.install_time as install_time,
    events.platform as platform,
    events.country as country,
    if(winners.conversion_id = '', 'organic', winners.match_type) as match_type,
    if(winners.conversion_id = '', toUInt8(5), winners.tier) as tier,
    winners.touch_id as touch_id,
    winners.touch_type as touch_type,
    if(winners.conversion_id = '', null, winners.touch_time) as touch_time,
    if(winners.conversion_id = '', null, winners.ctit_ms) as ctit_ms,
    if(winners.conversion_id = '', 'organic', winners.source) as source,
    winners.medium as medium,
    winners.campaign as campaign,
    winners.adgroup as adgroup,
    winners.creative as creative,
    further.assists as assists,
    '{{ var("ruleset_hash") }}' as ruleset_hash,
    events.user_id as user_id,
    events.os_version as os_version,
    events.device_model as device_model,
    events.ip_pseudonym as ip_pseudonym,
    events.install_begin_time as install_begin_time,
    toUInt16(least(length(further.rejected_above), 65535)) as rejected_touches,
    further.rejected_above[1].2 as rejected_reason,
    further.rejected_above[1].3 as rejected_source
from events
left join winners on events.install_id = winners.conversion_id
left join installs_with_further_touches as further on events.install_id = further.conversion_id
{% endmacro %}
