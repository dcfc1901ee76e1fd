-- grain: one row per install
{{ config(order_by=['tenant_id', 'event_date', 'app_id', 'install_id']) }}

select
    installs.tenant_id as tenant_id,
    toDate(installs.event_date) as event_date,
    installs.install_id as install_id,
    installs.app_id as app_id,
    coalesce(installs.device_id, '') as device_id,
    installs.install_time as install_time,
    installs.platform as platform,
    installs.country as country,
    multiIf(
        winners.install_id = '', 'organic',
        winners.winner.3 = 1, 'referrer',
        winners.winner.3 = 2, 'click_id',
        'device_id'
    ) as match_type,
    toUInt8(if(winners.install_id = '', 5, winners.winner.1)) as tier,
    winners.winner.5 as touch_id,
    winners.winner.6 as touch_type,
    if(winners.install_id = '', null, winners.winner.7) as touch_time,
    if(winners.install_id = '', null, toInt64(winners.winner.8)) as ctit_ms,
    if(winners.install_id = '', 'organic', winners.winner.9) as source,
    winners.winner.10 as medium,
    winners.winner.11 as campaign,
    winners.winner.12 as adgroup,
    winners.winner.13 as creative,
    winners.assists as assists,
    '{{ var("ruleset_hash") }}' as ruleset_hash
from {{ ref('stg_installs') }} as installs
left join {{ ref('int_install_winners') }} as winners on installs.install_id = winners.install_id
