"""The README's claims, measured on this machine: one module per claim, run by `unmogrowp bench NAME`.

Each claim's `run(workdir, size)` returns results and measures its yardstick in the same run, because figures
of two runs on a shared machine do not compare. What is measured is in the claim's module; load, servers and
clocks are shared. Nothing here is imported by the platform.
"""
