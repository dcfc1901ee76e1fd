"""The plain world: every touch is matched by an id and nobody cheats. What a demo can explain in one sentence."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from simulator import draws, events, spend, touches, truth
from simulator.activity import draw_activity
from simulator.draws import Rng
from simulator.events import EventColumns
from simulator.population import ORGANIC, Window, draw_population


class PlainWorld:
    """One tenant's facts: first the people and all they do, then (`finish`) everyone else and the costs."""

    def __init__(self, rng: Rng, tenant_id: str, window: Window, users: int) -> None:
        """Draw `users` people and what they do."""
        self.rng, self.tenant_id, self.window = rng, tenant_id, window
        everyone = draw_population(rng, window, users)
        causing = touches.causing_touches(rng, everyone)
        touch_id = np.full(len(everyone), "", dtype="U36")
        touch_id[everyone.cause != ORGANIC] = causing.event_id
        # touches of the last hours whose install falls after the last day stay touches without an install
        installed = everyone.install_ms < window.end_ms
        self.people, self.touch_id = everyone.where(installed), touch_id[installed]
        self.install_id = draws.uuids(rng, len(self.people))
        innocent = touches.innocent_touches(rng, everyone, window)
        self.touches = touches.concatenate([causing, innocent])
        activity = draw_activity(rng, self.people, window)
        self.groups: list[EventColumns] = [
            *events.install_events(rng, tenant_id, self.people, self.install_id, self.touch_id),
            *events.activity_events(rng, tenant_id, self.people, activity),
        ]

    def __len__(self) -> int:
        """Valid events so far."""
        return len(self.touches) + sum(len(group) for group in self.groups)

    def finish(self, background: int) -> None:
        """Adds `background` touches of people who never install, and what all touches cost."""
        crowd = touches.background_touches(self.rng, self.window, background)
        all_touches = touches.concatenate([self.touches, crowd])
        costs = spend.draw_spend(self.rng, all_touches, self.window)
        self.groups += events.touch_events(self.rng, self.tenant_id, all_touches)
        self.groups.append(events.spend_events(self.rng, self.tenant_id, costs))
        self.touches = all_touches.where(np.zeros(len(all_touches), dtype=np.bool_))  # now among the groups

    def truth(self) -> dict[str, pa.Table]:
        """What caused each install."""
        return {"installs": truth.installs_table(self.tenant_id, self.people, self.install_id, self.touch_id)}
