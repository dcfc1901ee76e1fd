-- grain: one row per install event of the slice under the rules of this invocation
{{ install_conversions_of(ref('int_version_install_events')) }}
