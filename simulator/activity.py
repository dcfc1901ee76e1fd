"""What people do after they install: sessions, named events, purchases, uninstalls. No touches here.

The latent value of a person drives all of it, on the first day as later, so that later revenue is predictable
from install-day behaviour: the claim that a value model has to earn.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from simulator import draws
from simulator import parameters as p
from simulator.draws import Ints, Rng
from simulator.population import Population, Window


@dataclass(frozen=True)
class Activity:
    """Aligned arrays per kind; `*_person` indexes the installed people, times are epoch milliseconds."""

    session_person: Ints
    session_ms: Ints
    session_duration_ms: Ints
    event_person: Ints
    event_ms: Ints
    event_name: Ints
    purchase_person: Ints
    purchase_ms: Ints
    purchase_price: Ints
    uninstall_person: Ints
    uninstall_ms: Ints

    def and_then(self, later: Activity) -> Activity:
        """Both, one after the other."""
        columns = {
            field.name: np.concatenate([getattr(self, field.name), getattr(later, field.name)])
            for field in fields(self)
        }
        return Activity(**columns)

    def timed_by(self, skew_ms: Ints, window: Window) -> Activity:
        """The same with times as each person's clock tells them, held inside the window."""
        columns = {
            f"{kind}_ms": np.clip(
                getattr(self, f"{kind}_ms") + skew_ms[getattr(self, f"{kind}_person")],
                window.start_ms,
                window.end_ms - 1,
            )
            for kind in ("session", "event", "purchase", "uninstall")
        }
        return replace(self, **columns)


def draw_activity(rng: Rng, people: Population, window: Window) -> Activity:
    """Everything that installed people do until they uninstall or the window ends."""
    leave_ms = _leave_ms(rng, people, window)
    session_person, session_ms = _sessions(rng, people, window, leave_ms)
    value = people.value[session_person]
    spread = 0.5 * rng.standard_normal(len(value))
    duration_ms = (4 * p.MINUTE_MS * np.exp(0.4 * value + spread)).astype(np.int64)
    duration_ms = np.minimum(duration_ms, 6 * p.HOUR_MS)

    per_session = rng.poisson(np.exp(np.minimum(0.35 * value, 2.0)))
    event_session = np.repeat(np.arange(len(value)), per_session)
    event_ms = _within(rng, session_ms, duration_ms, event_session)

    buys = rng.random(len(value)) < np.minimum(0.05 * np.exp(1.1 * value), 0.8)
    purchase_session = np.flatnonzero(buys)
    purchase_ms = _within(rng, session_ms, duration_ms, purchase_session)
    taste = 1.0 + 0.9 * value[purchase_session] + 0.5 * rng.standard_normal(len(purchase_session))
    price = np.clip(np.rint(taste), 0, len(p.PRICES_MICROS) - 1).astype(np.int64)

    left = np.flatnonzero(leave_ms < window.end_ms)
    in_time = event_ms < window.end_ms
    bought_in_time = purchase_ms < window.end_ms
    return Activity(
        session_person=session_person,
        session_ms=session_ms,
        session_duration_ms=duration_ms,
        event_person=session_person[event_session][in_time],
        event_ms=event_ms[in_time],
        event_name=draws.choose(rng, len(event_ms), p.EVENT_NAME_SHARES)[in_time],
        purchase_person=session_person[purchase_session][bought_in_time],
        purchase_ms=purchase_ms[bought_in_time],
        purchase_price=price[bought_in_time],
        uninstall_person=left,
        uninstall_ms=leave_ms[left],
    )


def _leave_ms(rng: Rng, people: Population, window: Window) -> Ints:
    """When each person uninstalls; the window's end for who does not. Valued people leave less."""
    leaves = rng.random(len(people)) < p.UNINSTALL_SHARE * np.exp(-0.5 * people.value)
    stay_ms = p.HOUR_MS + rng.exponential(2 * p.DAY_MS, size=len(people)).astype(np.int64)
    never = np.full(len(people), window.end_ms, dtype=np.int64)
    return np.where(leaves, np.minimum(people.install_ms + stay_ms, never), never)


def _sessions(rng: Rng, people: Population, window: Window, leave_ms: Ints) -> tuple[Ints, Ints]:
    """Person and start of every session, the first right after the install."""
    count = len(people)
    everyone = np.arange(count)
    first_ms = people.install_ms + rng.integers(p.SECOND_MS, 30 * p.SECOND_MS, size=count)
    more = np.repeat(everyone, rng.poisson(np.exp(0.1 + 0.5 * people.value)))
    more_ms = people.install_ms[more] + p.MINUTE_MS
    more_ms = more_ms + rng.exponential(3 * p.HOUR_MS, size=len(more)).astype(np.int64)

    install_day_ms = people.install_ms - people.install_ms % p.DAY_MS
    age_days = np.arange(1, window.days)
    returns = np.minimum(
        p.RETENTION_D1 * age_days[None, :] ** -p.RETENTION_DECAY * np.exp(0.35 * people.value)[:, None], 0.95
    )
    active = rng.random(returns.shape) < returns
    sessions_that_day = active * (1 + rng.poisson(np.exp(0.35 * people.value)[:, None], size=returns.shape))
    person, age_index = np.nonzero(active)
    repeats = sessions_that_day[person, age_index]
    person, age_index = np.repeat(person, repeats), np.repeat(age_index, repeats)
    later_ms = install_day_ms[person] + age_days[age_index] * p.DAY_MS
    later_ms = later_ms + draws.time_of_day_ms(rng, len(person))

    who = np.concatenate([everyone, more, person])
    start_ms = np.concatenate([first_ms, more_ms, later_ms])
    kept = (start_ms < window.end_ms) & (start_ms < leave_ms[who])
    return who[kept], start_ms[kept]


def _within(rng: Rng, start_ms: Ints, duration_ms: Ints, session: Ints) -> Ints:
    """A time inside each of these sessions."""
    share = rng.random(len(session))
    return start_ms[session] + (share * duration_ms[session]).astype(np.int64)
