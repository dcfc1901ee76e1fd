"""One tenant's own backend and dashboard: a separate process that holds nothing of any other tenant.

Belongs here: sessions, the event relay, the store of pushed marts and scores, the dashboard's answers and
its web page. Does not belong here: anything that reads the lake, the registry or another tenant's files;
the plane reaches the global plane by HTTP with its write-only token and by nothing else.
"""
