-- grain: tenant x date x app x platform x network
--
-- One count of installs from two witnesses: the app's own events, which the waterfall credits (deterministic,
-- probabilistic, organic), and Apple's postbacks, which name the network and no device. A postback is about an
-- install that may be among the first as well, so on iOS each one is matched before it counts:
--   1. Postbacks of a network take up its own credited installs of that day and the 4 days before, oldest first, each
--      once. Apple sends a first postback within 4 days: 2 of the window, 1 to 2 of delay. What finds none is
--      skan_beyond: installs of the network that no touch of ours explained.
--   2. Those take up organic installs of the app of the same days likewise, in organic_in_skan: the app saw them
--      and took them for organic. What finds none here either is of an app that sent no install event.
--   total_installs = deterministic + probabilistic + skan_beyond + organic - organic_in_skan
-- so no install is in a total twice, and summed over all networks the total is every install event plus the
-- postbacks nothing accounts for. Limits: credited installs and organic ones count on their own day, postbacks on
-- the day they came, up to 4 days later, so a single day of organic may fall below 0 where a sum of days does not; a
-- postback later than that (an app that keeps prolonging the timers of versions 2 and 3) is taken for another
-- install; networks are the same only where the conversion document names them as other events do. Spend reports
-- name no platform and are in rows of platform ''. A network with spend and no install keeps its spend.
{{ config(materialized='view') }}
{%- set matched_days = 4 %}

with measured as (
    select
        tenant_id, event_date, app_id, platform, source,
        toInt64(countIf(tier in (1, 3))) as deterministic,
        toInt64(countIf(tier in (2, 4))) as probabilistic,
        toInt64(countIf(tier = 5)) as organic
    from {{ ref('installs') }}
    group by tenant_id, event_date, app_id, platform, source
),

postbacks as (
    select tenant_id, event_date, app_id, source, toInt64(sum(installs)) as skan
    from {{ ref('skan_daily') }}
    group by tenant_id, event_date, app_id, source
    having skan > 0
),

spend as (
    select tenant_id, event_date, app_id, source, toInt64(sum(spend_micros)) as spend_micros
    from {{ ref('campaign_daily') }}
    where model = 'last_touch'
    group by tenant_id, event_date, app_id, source
    having spend_micros > 0
),

credited_and_postbacks as (
    select tenant_id, app_id, source, event_date, deterministic + probabilistic as credited, 0 as skan
    from measured
    where platform = 'ios'
    union all
    select tenant_id, app_id, source, event_date, 0, skan from postbacks
),

network_days as (
    select tenant_id, app_id, source, event_date, sum(credited) as credited, sum(skan) as skan
    from credited_and_postbacks
    group by tenant_id, app_id, source, event_date
),

networks as (
    select tenant_id, app_id, source, arraySort(groupArray((event_date, credited, skan))) as series
    from network_days
    group by tenant_id, app_id, source
    having sum(skan) > 0
),

networks_matched as (
    select tenant_id, app_id, source, matched
    from networks
    array join arrayZip(series.1, {{ postbacks_without_install('series', matched_days) }}) as matched
),

network_days_beyond as (
    select tenant_id, app_id, source, matched.1 as event_date, matched.2 as skan_beyond
    from networks_matched
    where skan_beyond > 0
),

organic_and_beyond as (
    select tenant_id, app_id, event_date, organic, 0 as skan_beyond
    from measured
    where platform = 'ios'
    union all
    select tenant_id, app_id, event_date, 0, skan_beyond from network_days_beyond
),

app_days as (
    select tenant_id, app_id, event_date, sum(organic) as organic, sum(skan_beyond) as skan_beyond
    from organic_and_beyond
    group by tenant_id, app_id, event_date
),

apps as (
    select tenant_id, app_id, arraySort(groupArray((event_date, organic, skan_beyond))) as series
    from app_days
    group by tenant_id, app_id
    having sum(skan_beyond) > 0
),

apps_matched as (
    select tenant_id, app_id, matched
    from apps
    array join arrayZip(series.1, series.3, {{ postbacks_without_install('series', matched_days) }}) as matched
),

app_days_in_both as (
    select tenant_id, app_id, matched.1 as event_date, matched.2 - matched.3 as organic_in_skan
    from apps_matched
    where organic_in_skan > 0
),

facts as (
    select
        tenant_id, event_date, app_id, platform, source,
        deterministic, probabilistic, 0 as skan, 0 as skan_beyond, organic, 0 as organic_in_skan, 0 as spend_micros
    from measured
    union all
    select tenant_id, event_date, app_id, 'ios', source, 0, 0, skan, 0, 0, 0, 0 from postbacks
    union all
    select tenant_id, event_date, app_id, 'ios', source, 0, 0, 0, skan_beyond, 0, 0, 0 from network_days_beyond
    union all
    select tenant_id, event_date, app_id, 'ios', 'organic', 0, 0, 0, 0, 0, organic_in_skan, 0 from app_days_in_both
    union all
    select tenant_id, event_date, app_id, '', source, 0, 0, 0, 0, 0, 0, spend_micros from spend
)

select
    tenant_id,
    event_date,
    app_id,
    platform,
    source,
    toInt64(sum(facts.deterministic)) as deterministic,
    toInt64(sum(facts.probabilistic)) as probabilistic,
    toInt64(sum(facts.skan)) as skan,
    toInt64(sum(facts.skan_beyond)) as skan_beyond,
    toInt64(sum(facts.organic)) as organic,
    toInt64(sum(facts.organic_in_skan)) as organic_in_skan,
    deterministic + probabilistic + skan_beyond + organic - organic_in_skan as total_installs,
    toInt64(sum(facts.spend_micros)) as spend_micros
from facts
group by tenant_id, event_date, app_id, platform, source
