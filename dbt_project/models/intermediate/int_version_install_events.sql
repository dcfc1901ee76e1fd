-- grain: one row per install event of the slice, as `install_events` has it, under the rules of this invocation
--
-- The devices' state before the slice is what the marts hold: a version says what would be had its rules been in force
-- from the slice's first date on.
{{ install_events_of(ref('install_events')) }}
