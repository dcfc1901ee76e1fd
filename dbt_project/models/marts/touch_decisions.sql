-- grain: conversion x candidate touch: the trace, and what every other mart reads
--
-- Eligible: 0 <= conversion - touch <= window, in milliseconds, both inclusive, and no rule of fraud against it. Order:
-- tier, then the latest touch, then referrer before click id before device id, then the lower ingested_at, then the
-- lower touch_id. It is total: shuffled input gives the same rows.
-- The first verdict that holds is given: after_conversion, method_off, outside_window (also for a touch that had its
-- effect before: not after the device's previous install event, for a returning session not after its last activity),
-- injection (clicks of installs and reinstalls only: an app may well open a second after a deep link was clicked),
-- hyper_engagement, blocked_ip.
-- A reinstall with an eligible touch is a re_attribution. A returning session is a re_engagement when a click is
-- eligible, and no conversion (no rows here) otherwise.
-- The setting (known since ClickHouse 25.10): columns that a join repeats stay references otherwise, and what comes
-- after it took a sixth more CPU time (16 s against 13.5 s at 8 M touches and 400 k installs).
{{ config(
    order_by=['tenant_id', 'event_date', 'app_id', 'conversion_id', 'touch_id'],
    query_settings={'enable_lazy_columns_replication': 0}
) }}

{{ decisions_of(ref('int_candidates')) }}
