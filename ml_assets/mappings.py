"""How tenant × day assets and per-tenant assets of this room depend on each other. No asset logic here."""

import warnings

import dagster as dg

from assets.partitions import TENANT_DIMENSION


def _of_tenant() -> dg.PartitionMapping:
    with warnings.catch_warnings():
        # dagster 1.13 marks the mapping as beta; it is the documented one for this, and pinned with dagster
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.MultiToSingleDimensionPartitionMapping(TENANT_DIMENSION)


# works both ways: all days of a tenant feed its model, a tenant's model feeds each of its days
OF_TENANT = _of_tenant()
