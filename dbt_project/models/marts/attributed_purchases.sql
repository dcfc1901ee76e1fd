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

install_history as (
    select app_id, device_id, install_id, install_time, source, medium, campaign
    from {{ ref('installs') }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date <= '{{ var("end_date") }}'
        and device_id != ''
        and (app_id, device_id) in (select purchases.app_id, purchases.device_id from purchases)
),

by_install as (
    select
        purchases.purchase_id as purchase_id,
        argMax(
            (
                install_history.install_id, install_history.source, install_history.medium, install_history.campaign
            ),
            (install_history.install_time, install_history.install_id)
        ) as found
    from purchases
    inner join install_history
        on purchases.app_id = install_history.app_id and purchases.device_id = install_history.device_id
    where install_history.install_time <= purchases.purchase_time
    group by purchases.purchase_id
),

purchases_with_install as (
    select
        purchases.*,
        by_install.found.1 as install_id,
        by_install.found.2 as source,
        by_install.found.3 as medium,
        by_install.found.4 as campaign
    from purchases
    left join by_install on purchases.purchase_id = by_install.purchase_id
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
