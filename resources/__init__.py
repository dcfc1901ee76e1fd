"""Typed doors to the outside: settings, lake, ClickHouse, registry, object store, vault, MLflow, tenant gateway.

A module here returns plain typed classes that know no Dagster asset; asset logic does not belong here.
"""
