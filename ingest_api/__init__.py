"""The door: HTTP in, authenticated, validated, durable, answered per event; and the lander behind it.

Start it with `python -m ingest_api`, the lander with `python -m ingest_api.lander`. What happens to events
once they are in the lake is the asset graph's business.
"""
