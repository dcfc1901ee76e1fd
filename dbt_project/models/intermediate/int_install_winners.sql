-- grain: one row per install that has an eligible touch
--
-- Order within the waterfall: tier, then the latest touch, then referrer before click id before device id,
-- then the lower ingested_at, then the lower touch_id. The order is total: shuffled input gives the same winner.
with ranked as (
    select
        install_id,
        arraySort(
            groupArray(
                (
                    tier, -touch_ms, match_rank, ingested_at, touch_id,
                    touch_type, touch_time, ctit_ms, source, medium, campaign, adgroup, creative
                )
            )
        ) as candidates
    from {{ ref('int_install_candidates') }}
    group by install_id
)

select
    install_id,
    candidates[1] as winner,
    -- up to three further eligible touches, in order
    arrayMap(candidate -> candidate.5, arraySlice(candidates, 2, 3)) as assists
from ranked
