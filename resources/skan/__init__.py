"""SKAdNetwork postbacks: what Apple's versions hold, whether Apple signed one, what its conversion value stands for.

Pure; the door, the asset graph and tests call the same functions. Where postbacks come in is `ingest_api`'s, how
they are counted the marts'.
"""
