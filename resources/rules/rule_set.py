"""The attribution rule set of a tenant: defaults, allowed ranges, content hash. No storage, no SQL.

Every mart row that a rule decided carries the hash, so a changed rule is visible in the data. Defaults and
ranges are AppsFlyer's as documented unless a field says otherwise. In JSON the names are camelCase; both
spellings are read.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from resources.rules.blocked import MAX_BLOCKED_NETWORKS, checked_range, checked_ranges
from resources.rules.ranges import DAY_MS, HOUR_MS, AllowedRange

MAX_CHANNELS = 200
MAX_CONVERSION_EVENTS = 100
# The rules go to dbt as one argument, which Linux limits to 131,072 bytes. 2,048 pseudonyms take 77,824 of them.
MAX_RULES_BYTES = 40_000

Name = Annotated[
    str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
]  # as in events
BlockedRange = Annotated[str, Field(max_length=64), AfterValidator(checked_range)]
ClickWindow = Annotated[int, Strict(), AllowedRange(HOUR_MS, 30 * DAY_MS, is_duration=True)]
ShortWindow = Annotated[int, Strict(), AllowedRange(HOUR_MS, 24 * HOUR_MS, is_duration=True, may_be_off=True)]
ViewWindow = Annotated[int, Strict(), AllowedRange(HOUR_MS, 48 * HOUR_MS, is_duration=True, may_be_off=True)]
ReattributionWindow = Annotated[int, Strict(), AllowedRange(DAY_MS, 730 * DAY_MS, is_duration=True)]
UpToNinetyDays = Annotated[int, Strict(), AllowedRange(DAY_MS, 90 * DAY_MS, is_duration=True)]
ShortestCtit = Annotated[int, Strict(), AllowedRange(1, 60_000, is_duration=True, may_be_off=True)]
ClickCap = Annotated[int, Strict(), AllowedRange(5, 1000)]


class Windows(NamedTuple):
    """The four windows that apply to one channel, in ms; 0 means the method is off."""

    click_window_ms: int
    probabilistic_click_window_ms: int
    view_window_ms: int
    probabilistic_view_window_ms: int


class _Rules(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class ChannelRules(_Rules):
    """Windows of one channel; None inherits the rule set's own, also where the source has a wider entry."""

    source: Name = Field(description="the ad network or publisher, spelt as in the events")
    medium: Name | None = Field(default=None, description="none: every medium without an entry of its own")
    click_window_ms: ClickWindow | None = None
    probabilistic_click_window_ms: ShortWindow | None = None
    view_window_ms: ViewWindow | None = None
    probabilistic_view_window_ms: ShortWindow | None = None


def _unique_channels(channels: tuple[ChannelRules, ...]) -> tuple[ChannelRules, ...]:
    by_name = {(channel.source, channel.medium or ""): channel for channel in channels}
    if len(by_name) < len(channels):
        raise PydanticCustomError(
            "channel_twice", "a source and medium may have one entry, and one has several"
        )
    return tuple(by_name[name] for name in sorted(by_name))


def _sorted_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


class RuleSet(_Rules):
    """Everything a tenant may decide about attribution."""

    click_window_ms: ClickWindow = Field(
        default=7 * DAY_MS, description="a click by click id, referrer or device id wins this long"
    )
    probabilistic_click_window_ms: ShortWindow = Field(
        default=24 * HOUR_MS, description="a click by network, user agent and OS version"
    )
    view_window_ms: ViewWindow = Field(default=24 * HOUR_MS, description="an impression by device id")
    probabilistic_view_window_ms: ShortWindow = Field(
        default=0, description="an impression by network, user agent and OS version"
    )
    channels: Annotated[tuple[ChannelRules, ...], AfterValidator(_unique_channels)] = Field(
        default=(), max_length=MAX_CHANNELS, description="windows of single channels"
    )
    reattribution_window_ms: ReattributionWindow = Field(
        default=90 * DAY_MS, description="a reinstall within it is no new install"
    )
    inactivity_ms: UpToNinetyDays = Field(
        default=7 * DAY_MS, description="without activity for this long, before a re-engagement counts"
    )
    reengagement_window_ms: UpToNinetyDays = Field(
        default=30 * DAY_MS, description="revenue within it is the re-engagement's first"
    )
    reinstall_without_touch: Literal["keep", "organic"] = Field(
        default="keep", description="it keeps the install's attribution (Singular), or is organic (AppsFlyer)"
    )
    click_cap_per_day: ClickCap = Field(
        default=50, description="clicks of one device and channel a day; those beyond it win nothing"
    )
    min_ctit_ms: ShortestCtit = Field(
        default=5000, description="an install sooner after the click is injection; 0 takes any"
    )
    blocked_networks: Annotated[tuple[BlockedRange, ...], AfterValidator(checked_ranges)] = Field(
        default=(),
        max_length=MAX_BLOCKED_NETWORKS,
        description="touches from these CIDR ranges win nothing: IPv4 /16 to /24, IPv6 /32 to /48",
    )
    conversion_events: Annotated[tuple[Name, ...], AfterValidator(_sorted_names)] = Field(
        default=(), max_length=MAX_CONVERSION_EVENTS, description="named events that get multi-touch credit"
    )
    registration_event: Name = Field(
        default="registration", description="the named event that is a milestone of the W model"
    )

    @model_validator(mode="after")
    def _fit_into_one_argument(self) -> Self:
        size_bytes = len(self.canonical_json())
        if size_bytes > MAX_RULES_BYTES:
            raise PydanticCustomError(
                "rules_too_large",
                "are {size_bytes} bytes of JSON, and may be {most_bytes}: name fewer or wider ranges and channels",
                {"size_bytes": size_bytes, "most_bytes": MAX_RULES_BYTES},
            )
        return self

    @property
    def content_hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the rules as canonical JSON."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()[:16]

    def canonical_json(self) -> str:
        """The rules as ASCII JSON that is the same for the same rules: every field, keys sorted."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @property
    def longest_window_ms(self) -> int:
        """How long before the conversion it still wins a touch can lie, in any channel."""
        return max(map(max, (self._own_windows, *map(self.windows_of, self.channels))))

    @property
    def longest_window_days(self) -> int:
        """The same in whole days, rounded up."""
        return -(-self.longest_window_ms // DAY_MS)

    def windows_for(self, source: str, medium: str | None) -> Windows:
        """The windows of a channel: its entry with that medium, else its entry without, else the rule set's."""
        entries = {channel.medium: channel for channel in self.channels if channel.source == source}
        entry = entries.get(medium) or entries.get(None)
        return self.windows_of(entry) if entry else self._own_windows

    def windows_of(self, entry: ChannelRules) -> Windows:
        """The windows of a channel's entry: what it leaves open is the rule set's own."""
        values = (getattr(entry, name) for name in Windows._fields)
        own = self._own_windows
        return Windows(*(ours if value is None else value for ours, value in zip(own, values, strict=True)))

    @property
    def _own_windows(self) -> Windows:
        return Windows(*(getattr(self, name) for name in Windows._fields))


DEFAULT_RULES = RuleSet()
