-- grain: rule set x new install: installs as it would be under the rule set
{{ config(order_by=['tenant_id', 'event_date', 'app_id', 'install_id']) }}

{{ installs_of(ref('int_version_install_events'), version_of(ref('decisions_versions'), var('ruleset_hash'))) }}
