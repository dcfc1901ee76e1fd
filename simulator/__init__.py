"""A synthetic world with known truth: who really caused each install, seeded and reproducible to the byte.

Pure generation belongs here (numpy in, NDJSON lines and truth tables out). Sending is
the SDK's work (`unmogrowp`), commands are `cli`'s, and nothing here computes attribution: the truth is
what the world did, not what a rule concluded.
"""
