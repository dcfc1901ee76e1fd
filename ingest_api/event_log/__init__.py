"""The event log: where an event is durable before its sender is told so. One protocol, several stores.

`protocol` says what a store must do; `segments` is the store of one machine. Validation and landing are
elsewhere.
"""
