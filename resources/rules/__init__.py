"""Attribution rule sets: what they hold, the allowed ranges, their hash, and which one is in force on a date.

What stores their versions is `resources.registry`; what applies them is SQL in `dbt_project/`.
"""

from resources.rules.ranges import DAY_MS, HOUR_MS
from resources.rules.rule_set import DEFAULT_RULES, ChannelRules, RuleSet, Windows
from resources.rules.versions import RuleVersion, version_on

__all__ = [
    "DAY_MS",
    "DEFAULT_RULES",
    "HOUR_MS",
    "ChannelRules",
    "RuleSet",
    "RuleVersion",
    "Windows",
    "version_on",
]
