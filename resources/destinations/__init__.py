"""Where exports go: receivers' addresses, the wire to them, webhooks and buckets, and the repeated attempt.

What is worth sending, and what becomes of what could not be sent, is `assets.export_delivery`'s; what is kept of
destinations is `resources.registry`'s.
"""
