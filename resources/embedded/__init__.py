"""Servers for one machine: the ClickHouse engine over HTTP, the tenants' supervisor, the stack's ports and home."""
