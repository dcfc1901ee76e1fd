-- grain: install x eligible touch, with the touch's tier and how it matched
--
-- Matching never crosses tenant or app. A touch is eligible iff 0 <= install - touch <= window, in milliseconds.
-- INNER JOINs on equality keys, then the window: ASOF joins pick by row order where times tie.
with installs as (
    select * from {{ ref('stg_installs') }}
),

touches as (
    select * from {{ ref('stg_touches') }}
),

matches as (
    select installs.install_id as install_id, installs.install_ms as install_ms, touches.*, 1 as match_rank
    from installs
    inner join touches on installs.app_id = touches.app_id and installs.referrer_click_id = touches.click_id
    where touches.touch_type = 'click'

    union all

    select installs.install_id as install_id, installs.install_ms as install_ms, touches.*, 2 as match_rank
    from installs
    inner join touches on installs.app_id = touches.app_id and installs.click_id = touches.click_id
    where touches.touch_type = 'click'

    union all

    select installs.install_id as install_id, installs.install_ms as install_ms, touches.*, 3 as match_rank
    from installs
    inner join touches on installs.app_id = touches.app_id and installs.device_id = touches.device_id
),

eligible as (
    select *
    from matches
    where
        install_ms >= touch_ms
        and (touch_type = 'click' or {{ var('view_window_ms') }} > 0)
        and install_ms - touch_ms
        <= if(touch_type = 'click', {{ var('click_window_ms') }}, {{ var('view_window_ms') }})
)

select
    eligible.install_id as install_id,
    eligible.touch_id as touch_id,
    any(eligible.touch_type) as touch_type,
    any(eligible.touch_time) as touch_time,
    any(eligible.touch_ms) as touch_ms,
    any(eligible.ingested_at) as ingested_at,
    any(eligible.source) as source,
    any(eligible.medium) as medium,
    any(eligible.campaign) as campaign,
    any(eligible.adgroup) as adgroup,
    any(eligible.creative) as creative,
    any(eligible.install_ms - eligible.touch_ms) as ctit_ms,
    min(eligible.match_rank) as match_rank,
    any(if(eligible.touch_type = 'click', 1, 3)) as tier
from eligible
group by eligible.install_id, eligible.touch_id
