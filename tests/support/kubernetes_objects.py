"""The memory of the Kubernetes API stand-in: objects by path, patches, selectors, and what controllers would do.

No HTTP here. Controllers answer at once: a StatefulSet's pods are ready and a Job is complete when they are
written, unless their image's tag, or `<namespace>/<tag>`, is among `broken_tags`.
"""

from __future__ import annotations

import base64
import copy
import datetime as dt
import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One kind of the API: where it lies and whether in a namespace."""

    group_version: str  # "v1", "apps/v1"
    kind: str
    plural: str
    is_namespaced: bool = True


KINDS = (
    Kind("v1", "Namespace", "namespaces", is_namespaced=False),
    Kind("v1", "Secret", "secrets"),
    Kind("v1", "ConfigMap", "configmaps"),
    Kind("v1", "Service", "services"),
    Kind("v1", "ServiceAccount", "serviceaccounts"),
    Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    Kind("v1", "ResourceQuota", "resourcequotas"),
    Kind("v1", "LimitRange", "limitranges"),
    Kind("v1", "Pod", "pods"),
    Kind("apps/v1", "StatefulSet", "statefulsets"),
    Kind("apps/v1", "Deployment", "deployments"),
    Kind("apps/v1", "ReplicaSet", "replicasets"),
    Kind("batch/v1", "Job", "jobs"),
    Kind("networking.k8s.io/v1", "Ingress", "ingresses"),
    Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    Kind("monitoring.coreos.com/v1", "ServiceMonitor", "servicemonitors"),
)


class NotFoundError(Exception):
    """There is no such object, or no such namespace."""


class ConflictError(Exception):
    """The object is there already."""


@dataclass(frozen=True)
class Change:
    """One event of a watch."""

    version: int
    kind: Kind
    what: str  # ADDED, MODIFIED, DELETED
    object: Object


@dataclass
class Objects:
    """Every object by (kind, namespace, name). Safe for threads."""

    broken_tags: set[str] = field(default_factory=set)
    changes: list[Change] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    _objects: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    _version: int = 1

    @property
    def version(self) -> int:
        """The resource version of the whole."""
        return self._version

    def names(self) -> list[str]:
        """`Kind namespace/name` of everything there is."""
        with self.changed:
            return sorted(f"{kind} {namespace}/{name}" for kind, namespace, name in self._objects)

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        with self.changed:
            try:
                return copy.deepcopy(self._objects[kind.kind, namespace, name])
            except KeyError:
                raise NotFoundError(f'{kind.plural} "{name}" not found') from None

    def list(self, kind: Kind, namespace: str, selector: str) -> list[Object]:
        wanted = dict(part.split("=", 1) for part in selector.replace("==", "=").split(",") if "=" in part)
        with self.changed:
            return [
                copy.deepcopy(found)
                for (its_kind, its_namespace, _), found in sorted(self._objects.items())
                if its_kind == kind.kind
                and namespace in {"", its_namespace}
                and wanted.items() <= found["metadata"].get("labels", {}).items()
            ]

    def create(self, kind: Kind, namespace: str, body: Object) -> Object:
        with self.changed:
            key = (kind.kind, namespace, str(body["metadata"]["name"]))
            if key in self._objects:
                raise ConflictError(f'{kind.plural} "{key[2]}" already exists')
            if kind.is_namespaced and ("Namespace", "", namespace) not in self._objects:
                raise NotFoundError(f'namespaces "{namespace}" not found')
            fresh = copy.deepcopy(body)
            fresh["metadata"] |= {
                "uid": str(uuid.uuid4()),
                "creationTimestamp": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "generation": 0,
            }
            if kind.is_namespaced:
                fresh["metadata"]["namespace"] = namespace
            return self._write(kind, key, fresh, "ADDED")

    def replace(self, kind: Kind, namespace: str, name: str, body: Object) -> Object:
        with self.changed:
            old = self.get(kind, namespace, name)
            kept = {each: old["metadata"][each] for each in ("uid", "creationTimestamp", "generation")}
            fresh = copy.deepcopy(body)
            fresh["metadata"] = {**fresh["metadata"], **kept}
            return self._write(kind, (kind.kind, namespace, name), fresh, "MODIFIED")

    def patch(self, kind: Kind, namespace: str, name: str, patch: Object, *, may_create: bool) -> Object:
        with self.changed:
            if may_create and (kind.kind, namespace, name) not in self._objects:
                return self.create(kind, namespace, patch)
            return self.replace(kind, namespace, name, merged(self.get(kind, namespace, name), patch))

    def delete(self, kind: Kind, namespace: str, name: str) -> Object:
        with self.changed:
            gone = self.get(kind, namespace, name)
            if kind.kind == "Namespace":
                for key in [key for key in self._objects if key[1] == name]:
                    self._remove(key)
            self._remove((kind.kind, namespace, name))
            return gone

    def _write(self, kind: Kind, key: tuple[str, str, str], fresh: Object, what: str) -> Object:
        self._version += 1
        fresh |= {"apiVersion": kind.group_version, "kind": kind.kind}
        if kind.kind == "Secret":
            data = fresh.setdefault("data", {})
            for name, text in fresh.pop("stringData", {}).items():
                data[name] = base64.b64encode(text.encode()).decode()
        before = self._objects.get(key, {}).get("spec")
        fresh["metadata"]["generation"] += before != fresh.get("spec")
        fresh["metadata"]["resourceVersion"] = str(self._version)
        _control(fresh, self.broken_tags)
        self._objects[key] = fresh
        self._tell(kind, what, fresh)
        return copy.deepcopy(fresh)

    def _remove(self, key: tuple[str, str, str]) -> None:
        self._version += 1
        gone = self._objects.pop(key)
        self._tell(next(kind for kind in KINDS if kind.kind == key[0]), "DELETED", gone)

    def _tell(self, kind: Kind, what: str, about: Object) -> None:
        self.changes.append(Change(self._version, kind, what, copy.deepcopy(about)))
        self.changed.notify_all()


def merged(old: Object, patch: Object) -> Object:
    """RFC 7386: objects member by member, null removes, everything else replaces."""
    result = copy.deepcopy(old)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = merged(result[name], value)
        else:
            result[name] = copy.deepcopy(value)
    return result


def _control(fresh: Object, broken_tags: set[str]) -> None:
    """What the controllers of this kind would make of it, at once."""
    if fresh["kind"] not in {"StatefulSet", "Job"}:
        return
    image = fresh["spec"]["template"]["spec"]["containers"][0]["image"]
    tag = image.rsplit(":", 1)[-1]
    is_well = broken_tags.isdisjoint({tag, f"{fresh['metadata']['namespace']}/{tag}"})
    generation = fresh["metadata"]["generation"]
    if fresh["kind"] == "StatefulSet":
        replicas = fresh["spec"].get("replicas", 1)
        ready = replicas if is_well else 0
        fresh["status"] = {
            "observedGeneration": generation,
            "replicas": replicas,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "currentReplicas": ready,
            "updatedReplicas": ready,
            "currentRevision": f"r{generation}",
            "updateRevision": f"r{generation}",
        }
        return
    kind, count = ("Complete", "succeeded") if is_well else ("Failed", "failed")
    fresh["status"] = {
        count: 1,
        "startTime": fresh["metadata"]["creationTimestamp"],
        "conditions": [{"type": kind, "status": "True", "reason": "Done", "message": "of the stand-in"}],
    }
    if is_well:
        fresh["status"]["completionTime"] = fresh["metadata"]["creationTimestamp"]
