-- grain: one row per install event: a new install, or a reinstall of the install it belongs to
--
-- A device's install event is a reinstall when it lies within the re-attribution window of the device's last new
-- install (both ends inclusive); otherwise it is new and becomes the last one. Folded in time order, equal times by
-- event id; the state of earlier dates is read from this table itself. An event without a device is always new.
{{ config(order_by=['tenant_id', 'event_date', 'app_id', 'install_id']) }}

{{ install_events_of(this) }}
