-- grain: purchase in the tenant's currency x attribution; rows with is_primary sum to the revenue, to the unit
--
-- A purchase follows its device's latest new install at or before it, for life (equal times: the higher event id).
-- Inside the window of a re-engagement of that same install, both ends inclusive, there is a second row, and that one
-- is primary; the latest re-engagement whose window covers the purchase counts. Without an install: one row, 'none'.
{{ config(order_by=['tenant_id', 'event_date', 'app_id', 'purchase_id', 'attribution']) }}

with purchases as (
    select
        toDate(event_date) as event_date,
        purchase_id,
        app_id,
        device_id,
        purchase_time,
        revenue_micros
    from {{ ref('stg_purchases') }}
    where is_tenant_currency
),

-- which install a purchase follows is said once, in credited_conversions
found_installs as (
    select conversion_id, app_id, install_id, toDate(install_time) as install_date
    from {{ ref('credited_conversions') }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
        and conversion_type = 'purchase'
        and install_id != ''
),

installs as (
    select install_id, source, medium, campaign
    from {{ ref('installs') }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date <= '{{ var("end_date") }}'
        -- the table's order, so that only these installs' granules are read, however long the history
        and (event_date, app_id, install_id) in (
            select found.install_date, found.app_id, found.install_id
            from found_installs as found
        )
),

purchases_with_install as (
    select
        purchases.event_date as event_date,
        purchases.purchase_id as purchase_id,
        purchases.app_id as app_id,
        purchases.device_id as device_id,
        purchases.purchase_time as purchase_time,
        purchases.revenue_micros as revenue_micros,
        installs.install_id as install_id,
        installs.source as source,
        installs.medium as medium,
        installs.campaign as campaign
    from purchases
    left join found_installs on purchases.purchase_id = found_installs.conversion_id
    left join installs on found_installs.install_id = installs.install_id
),

-- a window is 90 days at most, whatever the rule set of the day it was opened said
reengagement_windows as (
    select conversion_id, conversion_time, window_ends_at, install_id, app_id, device_id, source, medium, campaign
    from {{ ref('reengagements') }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date <= '{{ var("end_date") }}'
        and event_date >= toDate('{{ var("start_date") }}') - 90
        and window_ends_at > conversion_time
        and (app_id, device_id) in (select purchases.app_id, purchases.device_id from purchases)
),

by_reengagement as (
    select
        purchases.purchase_id as purchase_id,
        argMax(
            (
                windows.conversion_id, windows.install_id, windows.source, windows.medium, windows.campaign
            ),
            (windows.conversion_time, windows.conversion_id)
        ) as found
    from purchases_with_install as purchases
    inner join reengagement_windows as windows
        on
            purchases.app_id = windows.app_id
            and purchases.device_id = windows.device_id
            and purchases.install_id = windows.install_id
    where windows.conversion_time <= purchases.purchase_time and windows.window_ends_at >= purchases.purchase_time
    group by purchases.purchase_id
),

rows_of_purchases as (
    select
        purchases.*,
        if(
            purchases.install_id = '',
            ('none', '', '', 'unattributed', '', '', 1),
            (
                'install', purchases.install_id, purchases.install_id, purchases.source, purchases.medium,
                purchases.campaign, by_reengagement.purchase_id = ''
            )
        ) as own_row,
        (
            'reengagement', by_reengagement.found.1, by_reengagement.found.2, by_reengagement.found.3,
            by_reengagement.found.4, by_reengagement.found.5, 1
        ) as reengagement_row,
        if(by_reengagement.purchase_id = '', [own_row], [own_row, reengagement_row]) as attributions
    from purchases_with_install as purchases
    left join by_reengagement on purchases.purchase_id = by_reengagement.purchase_id
),

purchases_with_attribution as (
    select *, arrayJoin(attributions) as attributed
    from rows_of_purchases
)

select
    '{{ var("tenant_id") }}' as tenant_id,
    event_date,
    purchase_id,
    app_id,
    device_id,
    purchase_time,
    revenue_micros,
    attributed.1 as attribution,
    attributed.2 as conversion_id,
    attributed.3 as install_id,
    attributed.4 as source,
    attributed.5 as medium,
    attributed.6 as campaign,
    toUInt8(attributed.7) as is_primary
from purchases_with_attribution
