"""The champions in memory: loaded verified, kept by version, looked up again every few seconds. No HTTP."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from resources.errors import ModelNotFoundError, RetryableError
from resources.ltv_scorer import CHAMPION, LtvScorer, ltv_model_name, scorer_of
from resources.model_registry import ModelRegistry

REFRESH_S = 5.0  # a promotion is served this much later at most; asking MLflow costs about 5 ms
TENANTS_MAX = 512  # a session of 200 trees holds about 1 MB


@dataclass
class _Entry:
    scorer: LtvScorer
    looked_at_s: float


class Champions:
    """One scorer per tenant, replaced when the alias moves; safe for threads."""

    def __init__(self, models: ModelRegistry, refresh_s: float = REFRESH_S) -> None:
        self._models = models
        self._refresh_s = refresh_s
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._mutex = threading.Lock()

    def of(self, tenant_id: str) -> LtvScorer:
        """The tenant's champion. While MLflow is away, the one that was served last.

        Raises:
            ModelNotFoundError: the tenant has no champion.
            ArtifactCorruptError: the champion's files are not the registered ones.
            ServiceUnavailableError: MLflow is away and no champion is in memory.
        """
        with self._mutex:
            entry = self._entries.get(tenant_id)
            if entry is not None and time.monotonic() - entry.looked_at_s < self._refresh_s:
                return entry.scorer
            scorer = self._looked_up(tenant_id, entry)
            self._entries[tenant_id] = _Entry(scorer, time.monotonic())
            self._entries.move_to_end(tenant_id)
            while len(self._entries) > TENANTS_MAX:
                self._entries.popitem(last=False)
            return scorer

    def _looked_up(self, tenant_id: str, entry: _Entry | None) -> LtvScorer:
        try:
            version = self._models.by_alias(ltv_model_name(tenant_id), CHAMPION)
            if entry is not None and entry.scorer.version == version.version:
                return entry.scorer
            return scorer_of(self._models, version, tenant_id)
        except ModelNotFoundError:
            self._entries.pop(tenant_id, None)
            raise
        except RetryableError:
            if entry is None:
                raise
            return entry.scorer
