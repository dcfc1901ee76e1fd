-- grain: tenant x date received x app x network x campaign x source identifier x conversion window x basis
--
-- The first window's postback is the install (or the re-download); a later window's adds to the value of an install
-- counted before. What another network won, and what development builds sent, is counted apart. Events and revenue
-- are what the tenant's document of that day says, per user and window.
{{ config(materialized='view') }}

select
    tenant_id,
    event_date,
    app_id,
    source,
    ad_network_id,
    campaign,
    source_identifier,
    sequence_index,
    basis,
    toInt64(countIf(is_counted and sequence_index = 0 and not is_redownload)) as installs,
    toInt64(countIf(is_counted and sequence_index = 0 and is_redownload)) as redownloads,
    toInt64(countIf(is_counted and sequence_index > 0)) as value_updates,
    toInt64(countIf(not is_test and not did_win)) as not_won,
    toInt64(countIf(is_test)) as test_postbacks,
    toInt64(sumIf(length(events), is_counted)) as event_count,
    sumIf(revenue_low_micros, is_counted) as revenue_low_micros,
    sumIf(revenue_expected_micros, is_counted) as revenue_expected_micros,
    sumIf(revenue_high_micros, is_counted) as revenue_high_micros
from {{ ref('int_skan_postbacks') }}
group by
    tenant_id, event_date, app_id, source, ad_network_id, campaign, source_identifier, sequence_index, basis
