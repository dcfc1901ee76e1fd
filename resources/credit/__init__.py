"""Multi-touch credit over grouped paths: pure numbers, no Dagster, no store, no file but a file of paths.

It lives among the resources and not the assets because the command line and the assets both use it, and importing
the `assets` package brings Dagster (a second of start-up that `unmogrowp attribution paths` need not pay).
`paths` holds the journeys, `path_file` reads them, `positional`, `removal`, `markov` and `shapley` each hold a
family of models, `money` allots micros, `models` is the door: one function per model name. Install attribution
(one winner) does not belong here: it is SQL.
"""
