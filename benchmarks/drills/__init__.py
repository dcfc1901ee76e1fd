"""Drills: what the door and the lander must survive, done to them on this machine, and counted.

`unmogrowp drill NAME` runs one; `tests/integration` runs each in a bounded form. A drill breaks real processes
(the same `main` that `python -m ingest_api` and `python -m ingest_api.lander` run) over a home of its own under
load, then compares what was said to the sender with what is in the lake. Figures that are claims of speed are the
benches'; faults that need no process (a torn frame, a lost commit) are unit tests.
"""
