"""Who may read `/metrics` of a service that tenants share: Prometheus, with a token of its own.

Samples name tenants and count what they do, so no tenant's credential opens them. What is counted is each
service's business; the token itself is `Settings.scrape_token`.
"""

from __future__ import annotations

import hmac

from resources.errors import AuthenticationError


def check_scraper(authorization: str, token: str) -> None:
    """Pass when the `Authorization` header holds the scrape token.

    Raises:
        AuthenticationError: it does not.
    """
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise AuthenticationError(
            "metrics name every tenant: present the token of HOME/secrets/metrics.token "
            "(UNMOGROWP_METRICS_TOKEN) as `Authorization: Bearer …`"
        )
