-- grain: one row per new install (a device's reinstall is in `reengagements`)
--
-- The winner is the decision of rank 1; without one the install is organic. Rejected touches are those that a rule of
-- fraud took out and that stood above the winner, or all of them where nobody won.
{{ config(order_by=['tenant_id', 'event_date', 'app_id', 'install_id']) }}

{{ installs_of(ref('install_events'), ref('touch_decisions')) }}
