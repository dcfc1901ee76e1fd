"""The simulated world's constants, each with its reason. No drawing and no rendering here."""

from __future__ import annotations

from typing import Final

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

NETWORKS: Final = ("net_alpha", "net_beta", "net_gamma", "net_delta", "net_epsilon")
NETWORK_SHARES: Final = (0.34, 0.26, 0.19, 0.13, 0.08)
CAMPAIGNS: Final = ("prospecting", "lookalike", "seasonal")
CAMPAIGN_SHARES: Final = (0.5, 0.3, 0.2)
MEDIA: Final = ("video", "display", "search", "social", "display")  # one per network
# cost of a click per network, so that cost per install differs by network (1.9 to 3.8 USD at seed 7)
CLICK_COST_MICROS: Final = (840_000, 600_000, 720_000, 480_000, 360_000)
IMPRESSION_COST_MICROS: Final = 4_000  # 4 USD per thousand

APPS: Final = ("com.{tenant}.puzzle", "com.{tenant}.runner")
APP_SHARES: Final = (0.6, 0.4)
COUNTRIES: Final = ("US", "DE", "BR", "JP", "IN", "FR")
COUNTRY_SHARES: Final = (0.34, 0.16, 0.16, 0.12, 0.14, 0.08)
ANDROID_SHARE: Final = 0.6

# what causes an install: nothing paid, a view without a click, a click
CAUSES: Final = ("organic", "view", "click")
CAUSE_SHARES: Final = (0.33, 0.12, 0.55)

# CTIT is a mixture of two log-normals: people who install at once and people who come back later. One
# log-normal through the field's two quantiles (75 % < 1 h, 94 % < 24 h) would put 17 % below 10 s, which is
# the field's mark of click injection (2.5 % is normal); the mixture meets all three.
CTIT_FAST_SHARE: Final = 0.75
CTIT_FAST_MEDIAN_MS: Final = 5 * MINUTE_MS
CTIT_FAST_SIGMA: Final = 1.1
CTIT_SLOW_MEDIAN_MS: Final = 10 * HOUR_MS
CTIT_SLOW_SIGMA: Final = 1.2
CTIT_MIN_MS: Final = 10 * SECOND_MS  # nobody downloads and opens an app faster
CTIT_MAX_MS: Final = 6 * DAY_MS + 12 * HOUR_MS  # inside the 7 d click window of the default rule set
VIEW_MEDIAN_MS: Final = 2 * HOUR_MS
VIEW_SIGMA: Final = 1.2
VIEW_MAX_MS: Final = 22 * HOUR_MS  # inside the 24 h view window of the default rule set

# an Android store carries the click id even where the ad was shown in a browser that knows no device id
BROWSER_CLICK_SHARE: Final = 0.3
# an iOS app reads the click id from the deep link it was opened with
DEEP_LINK_SHARE: Final = 0.25

ASSISTED_SHARE: Final = 0.35  # paid installs with one to three earlier touches of other networks
ASSIST_CLICK_SHARE: Final = 0.4
ASSIST_LEAD_MIN_MS: Final = MINUTE_MS
ASSIST_LEAD_MEAN_MS: Final = DAY_MS
VIEW_AFTER_CLICK_SHARE: Final = 0.1  # a click beats a later view
TOUCH_AFTER_INSTALL_SHARE: Final = 0.05  # retargeting: causes nothing
STALE_VIEW_SHARE: Final = 0.2  # organic users who saw an ad, but longer ago than the view window
STALE_CLICK_SHARE: Final = 0.1  # ... or clicked longer ago than the click window
OTHER_APP_SHARE: Final = 0.03  # organic users who just clicked an ad of the tenant's other app

BACKGROUND_SHARE: Final = 0.3  # share of all events that are touches of people who never install
BACKGROUND_CLICK_SHARE: Final = 0.35
TOUCHES_PER_BACKGROUND_DEVICE: Final = 2

# retention on day k is RETENTION_D1 * k ** -RETENTION_DECAY for a user of average value: 42 %, 27 % (D2) ...
# 13 % (D7), as casual games report
RETENTION_D1: Final = 0.42
RETENTION_DECAY: Final = 0.6
UNINSTALL_SHARE: Final = 0.15

EVENT_NAMES: Final = ("level_complete", "tutorial_complete", "item_view", "add_to_cart", "share")
EVENT_NAME_SHARES: Final = (0.46, 0.14, 0.2, 0.12, 0.08)
PRICES_MICROS: Final = (490_000, 990_000, 1_990_000, 2_990_000, 4_990_000)  # ROAS about 1 in two weeks
CURRENCY: Final = "USD"
OTHER_CURRENCY: Final = "EUR"
OTHER_CURRENCY_SHARE: Final = 0.01  # so that nothing downstream adds two currencies

DUPLICATE_SHARE: Final = 0.015
MALFORMED_SHARE: Final = 0.01
LATE_SHARE: Final = 0.03
LATE_MIN_MS: Final = 6 * HOUR_MS
LATE_MAX_MS: Final = 72 * HOUR_MS
MALFORMED_KINDS: Final = (
    "missing_field",
    "bad_type",
    "unknown_event_type",
    "bad_timestamp",
    "too_old",
    "unknown_field",
)
TOO_OLD_DAYS: Final = 400  # beyond the largest late window that settings allow (180)
