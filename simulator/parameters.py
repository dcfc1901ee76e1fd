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
# publishers of the full world that claim what they did not cause; which does what is below
FRAUDULENT: Final = ("net_zeta", "net_eta", "net_theta", "net_iota", "net_kappa")
PUBLISHERS: Final = (*NETWORKS, *FRAUDULENT)
MEDIA: Final = ("video", "display", "search", "social", "display", *("display",) * len(FRAUDULENT))
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

# ---- the full world: what the plain one leaves out. Shares are of people who install unless said otherwise. ----

# iOS shows the tracking prompt: about a third agree, so that two thirds have no advertising id and only a deep
# link or the fingerprint can match them. On Android few switch the id off.
AD_ID_SHARE_IOS: Final = 0.35
AD_ID_SHARE_ANDROID: Final = 0.9
PLAY_STORE_SHARE: Final = (
    0.97  # other Android stores hand over no referrer and no time of the download's begin
)
REFERRER_SHARE: Final = 0.85  # of clicks that led to the Play store with their id in the link
FULL_DEEP_LINK_SHARE: Final = 0.2  # of iOS clicks whose id came along in the link that opened the app
ORGANIC_REFERRER: Final = (
    "utm_source=google-play&utm_medium=organic"  # what the Play store says of nobody's click
)

# Where people are online. A household shares one address, an office one /24, a carrier's NAT puts many
# customers behind one /24. Networks are per country. At 50,000 installs in two weeks a carrier's /24 then sees one
# or two clicks of the tenant's a day: another person's click of the same user agent and OS within 24 h precedes some
# 5 in 1,000 organic installs, and as many of the installs that a view caused.
PLACE_SHARES: Final = (0.55, 0.37, 0.08)  # home, mobile, office
HOME_NETWORKS: Final = 40_000
CARRIER_NETWORKS: Final = 400  # all carriers of a country: their NATs show some hundreds of /24s to the world
OFFICE_NETWORKS: Final = 2_000
FAMILY_SHARE: Final = 0.1  # share a home with another person of the population
TWO_DEVICES_SHARE: Final = 0.06  # people (one user id) with the app on two devices, of one home
# still in the same place (and on the same network) when the app is opened: by the time since the click
STAYS_WITHIN_HOUR: Final = 0.96
STAYS_WITHIN_DAY: Final = 0.7
STAYS_LONGER: Final = 0.45
OTHER_BROWSER_SHARE: Final = (
    0.04  # clicked in a browser that names itself differently from the app's web view
)
IN_APP_AGENT_SHARE: Final = 0.3  # in-app clicks, which carry the device id, that carry the user agent as well
WEB_TOUCH_SHARE: Final = 0.3  # touches in a browser, of strangers that have an advertising id

# Most devices set their clock by the network. A wrong one is off by seconds to minutes and shifts what is
# measured on the device (installs, sessions, some touches), not what the network's server saw. The median keeps the
# errors that no platform can see (an install before its click) near 0.1 % of installs.
SKEWED_CLOCK_SHARE: Final = 0.02
SKEW_MEDIAN_MS: Final = 20 * SECOND_MS
SKEW_SIGMA: Final = 1.2
SKEW_MAX_MS: Final = 5 * MINUTE_MS
DEVICE_TIMED_SHARE: Final = 0.3  # in-app touches whose time is the device's

REINSTALL_SHARE: Final = 0.3  # of those who uninstall
REINSTALL_MEAN_MS: Final = 12 * DAY_MS
REINSTALL_LATE_SHARE: Final = 0.3  # of reinstalls, after the re-attribution window where the days suffice
REATTRIBUTION_WINDOW_MS: Final = 90 * DAY_MS  # the default rule set's
RETARGETED_SHARE: Final = 0.5  # of returns (reinstalls, re-engagements) a click caused
RETURN_SHARE: Final = 0.2  # of people gone for the inactivity of the default rule set, come back
INACTIVITY_MS: Final = 7 * DAY_MS

# Fraud. Which publisher does what, by its place in PUBLISHERS.
FLOODERS: Final = (5, 6)  # the first floods one app, the second the other
INJECTOR: Final = 7
FARMER: Final = 8
HYPER: Final = 9
FRAUD_KINDS: Final = ("click_flooding", "click_flooding", "injection", "device_farm", "hyper_engagement")
# A flooder claims devices at random, spread over all days, most of which never install: expected clicks of a
# device in 7 days. It steals 4 % of organic installs and of views; real ones are not shy of 20 %. At 50,000 installs
# in two weeks that is 20 to 40 installs a day per flooder, enough to be judged by one day.
FLOOD_CLICKS_PER_WEEK: Final = 0.06
FLOOD_WASTE: Final = 5  # clicks on devices that never install, per click on one that does
# Malware sees the download begin and claims it: Android, between the begin and the first open, or seconds before.
INJECTED_SHARE: Final = 0.02
INJECTED_LAST_SECONDS_SHARE: Final = 0.3
INJECTION_MIN_LEAD_MS: Final = 300
INJECTION_MAX_LEAD_MS: Final = 4_900  # under the default rule set's 5 s
# Racks of phones and emulators behind one network: every install is claimed by one click.
FARM_SHARE: Final = 0.01
FARM_DEVICES: Final = 120  # of one farm
FARM_BATCH_DAYS: Final = 2
FARM_EMULATOR_SHARE: Final = 0.6
FARM_IMPOSSIBLE_SHARE: Final = 0.15  # an Android device that says it is an iPhone
FARM_CTIT_MIN_MS: Final = 15 * SECOND_MS
FARM_CTIT_MAX_MS: Final = 90 * SECOND_MS
# Scripts that click on and on: hundreds a day from one device on one channel.
HYPER_BOTS_SHARE: Final = 0.0005  # of strangers
HYPER_CLICKS: Final = (150, 400)
# ... and on devices whose owner clicked an honest ad after the first 50: credit is right iff the cap works
HYPER_VICTIM_SHARE: Final = 0.002
HYPER_CLICKS_BEFORE: Final = 60
HYPER_CLICKS_AFTER: Final = 60

# (name, share of the platform's devices), the field's order of magnitude
IOS_VERSIONS: Final = (
    *(("20.1", 0.3), ("20.0.1", 0.14), ("20.0", 0.06), ("19.6.2", 0.13), ("19.6.1", 0.07), ("19.5", 0.06)),
    *(
        ("19.3.2", 0.05),
        ("18.7.2", 0.06),
        ("18.6.2", 0.04),
        ("18.5", 0.03),
        ("17.7.2", 0.03),
        ("16.7.12", 0.03),
    ),
)
ANDROID_VERSIONS: Final = (("16", 0.3), ("15", 0.27), ("14", 0.17), ("13", 0.12), ("12", 0.08), ("11", 0.06))
IOS_MODELS: Final = (
    *(("iPhone18,1", 0.12), ("iPhone17,1", 0.15), ("iPhone17,3", 0.14), ("iPhone16,1", 0.13)),
    *(
        ("iPhone15,4", 0.12),
        ("iPhone14,5", 0.12),
        ("iPhone13,2", 0.1),
        ("iPad14,1", 0.07),
        ("iPad13,18", 0.05),
    ),
)
ANDROID_MODELS: Final = (
    *(("SM-S938B", 0.1), ("SM-A556B", 0.1), ("SM-A165F", 0.09), ("SM-S926U", 0.08), ("SM-A057G", 0.07)),
    *(("Pixel 10", 0.06), ("Pixel 9a", 0.05), ("Pixel 8", 0.05), ("2409BRN2CA", 0.06), ("23129RAA4G", 0.06)),
    *(("24117RN76O", 0.05), ("CPH2699", 0.05), ("CPH2591", 0.04), ("V2434", 0.04), ("moto g54 5G", 0.04)),
    *(("RMX3999", 0.03), ("Infinix X6728", 0.03)),
)
EMULATOR_MODELS: Final = ("sdk_gphone64_x86_64", "Android SDK built for x86", "Genymotion VirtualBox")
BROWSER_VERSIONS: Final = (("142", 0.45), ("141", 0.25), ("140", 0.14), ("138", 0.09), ("135", 0.07))
