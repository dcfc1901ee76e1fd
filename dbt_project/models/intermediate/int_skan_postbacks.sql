-- grain: one row per postback of any tenant and day, each counted once
--
-- Of deliveries with the same app, transaction and window the one that landed first stays, on its own day: landing
-- order never changes, so what a day's counts say stays true whatever is sent again later. Repeats are few, so they
-- are looked for and taken out: over 250,000 postbacks 0.2 s, where ranking every one of them took 1.1 s. A filter on
-- the tenant reaches both readings of the table.
with repeats as (
    select
        tenant_id,
        arrayJoin(
            arrayMap(delivery -> delivery.2, arraySlice(arraySort(groupArray((land_seq, event_id))), 2))
        ) as event_id
    from {{ source('python', 'skan_postbacks') }}
    group by tenant_id, store_app_id, transaction_id, sequence_index
    having count() > 1
)

select
    postbacks.tenant_id as tenant_id,
    postbacks.event_date as event_date,
    postbacks.app_id as app_id,
    postbacks.source as source,
    postbacks.ad_network_id as ad_network_id,
    postbacks.campaign as campaign,
    postbacks.source_identifier as source_identifier,
    postbacks.sequence_index as sequence_index,
    postbacks.basis as basis,
    postbacks.is_redownload as is_redownload,
    postbacks.is_test as is_test,
    postbacks.did_win as did_win,
    postbacks.did_win and not postbacks.is_test as is_counted,
    postbacks.events as events,
    postbacks.revenue_low_micros as revenue_low_micros,
    postbacks.revenue_expected_micros as revenue_expected_micros,
    postbacks.revenue_high_micros as revenue_high_micros
from {{ source('python', 'skan_postbacks') }} as postbacks
left anti join repeats
    on postbacks.tenant_id = repeats.tenant_id and postbacks.event_id = repeats.event_id
