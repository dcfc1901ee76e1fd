-- grain: rule set x install or reinstall x candidate touch: touch_decisions as it would be under the rule set
--
-- The conversions are installs and reinstalls alone: a restatement compares whom installs belong to.
{{ config(order_by=['tenant_id', 'event_date', 'app_id', 'conversion_id', 'touch_id']) }}

{{ decisions_of(ref('int_version_candidates')) }}
