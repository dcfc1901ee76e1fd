"""Touches and installs at scale for the speed benches: made by the engine itself, from hashes of their numbers.

Seven installs in ten have a click of their own (half of them by referrer), every device some touches besides; three
clicks in ten carry a fingerprint. No device is crowded and none installs twice, so a plain query knows all the rules.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from benchmarks.mart_lab import CLEAN_EVENTS, MartLab

TENANT = "bench"
DEVICES_PER_INSTALL = 10  # touched devices, of which one installs
CAUSED_SHARE_PERCENT = 70
ACTIVE_DAYS = 30
FIRST_DAY = dt.date(2026, 1, 1)
_DAY_MS = 86_400_000

# a device's constants, `d` being its number: what it is called, its app, and its fingerprint (3 of 10 tell it)
_DEVICE_COLUMNS = """
    concat('p1_', lower(hex(sipHash128('device', d)))) as device_id,
    if(d % 5 < 3, 'com.bench.puzzle', 'com.bench.runner') as app_id,
    concat('p1_', lower(hex(sipHash128('net', cityHash64('net', d) % {networks})))) as net,
    concat('p1_', lower(hex(sipHash128('agent', cityHash64('agent', d) % 60)))) as agent,
    toString(10 + cityHash64('os', d) % 12) as os
"""


@dataclass(frozen=True)
class Amounts:
    """How many touches and installs, over how many days from FIRST_DAY."""

    touches: int
    installs: int
    days: int

    @property
    def last_day(self) -> dt.date:
        """The last day that has events."""
        return FIRST_DAY + dt.timedelta(days=self.days - 1)


def fill(lab: MartLab, amounts: Amounts) -> None:
    """Make these the lab's clean events."""
    lab.execute(f"truncate table {CLEAN_EVENTS}")
    lab.execute(_installs_sql(amounts))
    lab.execute(_touches_sql(amounts))
    lab.execute(f"optimize table {CLEAN_EVENTS} final")  # merges would run while the queries are timed


def add_activity(lab: MartLab, amounts: Amounts, per_day: int) -> None:
    """Sessions and purchases, so many a day (one in ten is a purchase), of devices that installed up to 30 days before.

    So a day looks the same however many came before it: were it anybody's who ever installed, the more people there
    are, the longer each would have been away, and the day would have more of those that come back.
    """
    recent = amounts.installs * min(ACTIVE_DAYS, amounts.days) // amounts.days
    lab.execute(f"""
insert into {CLEAN_EVENTS}
    (tenant_id, event_date, event_id, event_type, event_time, received_at, land_seq, app_id, device_id, user_id,
     revenue_micros, currency)
select
    '{TENANT}', toDate32(at), lower(hex(sipHash128('activity', n))), if(n % 10 = 0, 'purchase', 'session'), at, at, n,
    app_id, device_id, device_id, if(n % 10 = 0, 990000, null), if(n % 10 = 0, 'USD', null)
from (
    select
        number as n,
        toInt64(cityHash64('at', n) % {amounts.days * _DAY_MS}) as at_ms,
        intDiv(at_ms * {amounts.installs}, {amounts.days * _DAY_MS}) as installed,
        greatest(0, installed - toInt64(cityHash64('who', n) % {recent})) * {DEVICES_PER_INSTALL} as d,
        fromUnixTimestamp64Milli({_start_ms()} + at_ms, 'UTC') as at,
        {_device_columns(amounts)}
    from numbers({per_day * amounts.days})
)""")  # noqa: S608 - our own constants


def keep_from(lab: MartLab, first_day: dt.date) -> None:
    """Forget the events of earlier days."""
    lab.execute(
        f"alter table {CLEAN_EVENTS} delete where event_date < '{first_day}' settings mutations_sync = 2"
    )


def _installs_sql(amounts: Amounts) -> str:
    return f"""
insert into {CLEAN_EVENTS}
    (tenant_id, event_date, event_id, event_type, event_time, received_at, land_seq, app_id, device_id, user_id,
     referrer_click_id, ip_pseudonym, user_agent_pseudonym, os_version, platform)
select
    '{TENANT}', toDate32(at), lower(hex(sipHash128('install', n))), 'install', at, at, n, app_id, device_id, device_id,
    if({_is_caused("n")} and n % 2 = 0, concat('clk-', lower(hex(sipHash128('touch', n)))), null),
    net, agent, os, 'android'
from (
    select
        number as n,
        n * {DEVICES_PER_INSTALL} as d,
        fromUnixTimestamp64Milli({_install_ms("n", amounts)}, 'UTC') as at,
        {_device_columns(amounts)}
    from numbers({amounts.installs})
)"""  # noqa: S608 - our own constants


def _touches_sql(amounts: Amounts) -> str:
    """Touch n < installs belongs to install n where that is caused; the others are of anybody.

    Of anybody whose turn to install is up to 15 days off (in a world of 30 days: of all), for `add_activity`'s reason.
    """
    devices = amounts.installs * DEVICES_PER_INSTALL
    near = devices * min(ACTIVE_DAYS, amounts.days) // amounts.days
    ctit_ms = "10000 + toInt64(pow((cityHash64('ctit', n) % 10000) / 10000, 6) * 640000000)"
    return f"""
insert into {CLEAN_EVENTS}
    (tenant_id, event_date, event_id, event_type, event_time, received_at, land_seq, app_id, device_id, click_id,
     source, medium, campaign, ip_pseudonym, user_agent_pseudonym, os_version, platform)
select
    '{TENANT}', toDate32(at), touch_id, if(is_click, 'click', 'impression'), at, at, n, app_id,
    if(is_caused and n % 3 = 0, concat('p1_', touch_id), device_id),
    if(is_click, concat('clk-', touch_id), null),
    concat('net_', toString(cityHash64('net', n) % 8)), 'display', concat('c', toString(cityHash64('c', n) % 20)),
    net, if(has_agent, agent, null), if(has_agent, os, null), 'android'
from (
    select
        number as n,
        n < {amounts.installs} and {_is_caused("n")} as is_caused,
        lower(hex(sipHash128('touch', n))) as touch_id,
        is_caused or cityHash64('kind', n) % 100 < 35 as is_click,
        is_click and (cityHash64('has_agent', n) % 10 < 3 or (is_caused and n % 3 = 0)) as has_agent,
        toInt64(cityHash64('at', n) % {amounts.days * _DAY_MS}) as at_ms,
        intDiv(at_ms * {amounts.installs}, {amounts.days * _DAY_MS}) * {DEVICES_PER_INSTALL} as installing,
        toInt64(cityHash64('who', n) % {near}) - {near // 2} as distance,
        if(is_caused, n * {DEVICES_PER_INSTALL}, positiveModulo(installing + distance, {devices})) as d,
        fromUnixTimestamp64Milli(
            if(is_caused, greatest({_start_ms()}, {_install_ms("n", amounts)} - ({ctit_ms})), {_start_ms()} + at_ms),
            'UTC') as at,
        {_device_columns(amounts)}
    from numbers({amounts.touches})
)"""  # noqa: S608 - our own constants


def _is_caused(n: str) -> str:
    return f"cityHash64('caused', {n}) % 100 < {CAUSED_SHARE_PERCENT}"


def _install_ms(n: str, amounts: Amounts) -> str:
    """In the order of their numbers, so that those of the last days can be told."""
    return f"({_start_ms()} + intDiv(toInt64({n}) * {amounts.days * _DAY_MS}, {amounts.installs}))"


def _device_columns(amounts: Amounts) -> str:
    """A /24 is shared by some 25 touched devices: a fingerprint, by none or one more."""
    return _DEVICE_COLUMNS.format(networks=max(1, amounts.installs * DEVICES_PER_INSTALL // 25))


def _start_ms() -> int:
    return int(dt.datetime.combine(FIRST_DAY, dt.time(), dt.UTC).timestamp()) * 1000
