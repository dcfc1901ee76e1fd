"""The chart of a tenant's plane: rendered by Helm's engine, linted, valid for Kubernetes, held to a policy."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest

from resources.errors import ContractError
from resources.plane_settings import TenantPlaneSettings
from resources.registry import Plan
from resources.tenant_drivers.helm_engine import CHART, ground, rendered
from resources.tenant_drivers.helm_values import cluster_names, overlaid
from resources.tenant_drivers.plane_secrets import SECRETS
from tests.support.chart_goldens import TENANT, golden_path, golden_text, golden_values, manifests
from tests.support.manifest_policy import violations

NEWEST, OLDEST = "1.34.0", "1.29.0"  # the newest that clusters run, and what Chart.yaml asks for at least
CUSTOM = {"ServiceMonitor"}  # of the Prometheus operator; Kubernetes has no schema of it


@pytest.mark.parametrize("plan", list(Plan))
def test_a_plans_manifests_are_the_golden_ones(plan: Plan) -> None:
    assert golden_text(plan.value) == golden_path(plan.value).read_text(), (
        "the chart or a profile changed: look at the difference, then `python -m tests.support.chart_goldens`"
    )


@pytest.mark.parametrize("plan", list(Plan))
def test_helm_finds_nothing_to_complain_about(plan: Plan) -> None:
    report = helm.lint(CHART, golden_values(plan.value), strict=True, namespace="unmogrowp-client-t123")
    assert report["errors"] == []
    assert [each["error"] for each in report["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("version", [NEWEST, OLDEST])
@pytest.mark.parametrize("plan", list(Plan))
def test_every_manifest_is_valid_for_kubernetes(plan: Plan, version: str) -> None:
    for manifest in manifests(plan.value):
        if manifest["kind"] in CUSTOM:
            with pytest.raises(kubernetes_validate.SchemaNotFoundError):
                kubernetes_validate.validate(manifest, version, strict=True)
        else:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_a_manifest_with_a_misspelt_field_would_not_be_valid() -> None:
    manifest = next(each for each in manifests("starter") if each["kind"] == "StatefulSet")
    manifest["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(manifest, NEWEST, strict=True)


@pytest.mark.parametrize("plan", list(Plan))
def test_every_plan_holds_to_the_policy(plan: Plan) -> None:
    assert violations(manifests(plan.value)) == []


BROKEN = [
    ("_helpers.tpl", "runAsUser: 10001", "runAsUser: 0", "pods may run as root"),
    ("_helpers.tpl", "runAsNonRoot: true\n  runAsUser", "runAsUser", "pods may run as root"),
    ("_helpers.tpl", "type: RuntimeDefault", "type: Unconfined", "no seccomp profile"),
    (
        "_helpers.tpl",
        "automountServiceAccountToken: false",
        "automountServiceAccountToken: true",
        "token is mounted",
    ),
    (
        "_helpers.tpl",
        "readOnlyRootFilesystem: true",
        "readOnlyRootFilesystem: false",
        "filesystem is writable",
    ),
    (
        "_helpers.tpl",
        "allowPrivilegeEscalation: false",
        "allowPrivilegeEscalation: true",
        "privileges may be gained",
    ),
    ("_helpers.tpl", 'drop: ["ALL"]', 'drop: ["ALL"]\n    add: ["NET_ADMIN"]', "capabilities are kept"),
    ("_helpers.tpl", "toYaml .Values.resources | nindent 2", "toYaml dict | nindent 2", "no limits"),
    (
        "_helpers.tpl",
        "\n  valueFrom:\n    secretKeyRef: { name: {{ $.Values.secretName }}, key: {{ . }} }",
        "\n  value: secret",
        "SIGNING_KEY is not by reference",
    ),
    (
        "_helpers.tpl",
        "{{ .Values.image.repository }}:{{ .Values.image.tag }}",
        "plane:latest",
        "version is open",
    ),
    ("namespace.yaml", "enforce: restricted", "enforce: privileged", "restricted standard"),
    (
        "networkpolicy.yaml",
        "podSelector: {}",
        "podSelector: { matchLabels: { a: b } }",
        "not denied by default",
    ),
    (
        "networkpolicy.yaml",
        "        - ipBlock: { cidr: {{ . | quote }} }",
        "        - ipBlock: { cidr: 0.0.0.0/0 }",
        "whole world",
    ),
    ("statefulset.yaml", "readinessProbe:", "x-readinessProbe:", "no readinessProbe"),
    ("statefulset.yaml", "emptyDir: { sizeLimit: 1Gi }", "hostPath: { path: / }", "a path of the host"),
    ("quota.yaml", "kind: LimitRange", "kind: Nothing", "there is no LimitRange"),
]


@pytest.mark.parametrize(("file", "good", "bad", "sentence"), BROKEN)
def test_a_broken_chart_does_not_hold_to_it(
    tmp_path: Path, file: str, good: str, bad: str, sentence: str
) -> None:
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    template = chart / "templates" / file
    text = template.read_text()
    assert good in text
    template.write_text(text.replace(good, bad))
    assert any(sentence in each for each in violations(manifests("enterprise", chart)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"nonsense": 1}, "additional properties 'nonsense'"),
        ({"image": {"repository": "a/b", "tag": "latest"}}, "/image/tag"),
        ({"replicas": 2}, "/persistence/shared"),
        ({"autoscaling": {"enabled": True}}, "/database/kind"),
        ({"database": {"kind": "postgresql", "cidrs": []}}, "/database/cidrs"),
        ({"egress": {"ingest": {"cidrs": ["0.0.0.0/0"]}}}, "/egress/ingest/cidrs"),
        ({"egress": {"ingest": {"cidrs": []}}}, "/egress/ingest"),
        ({"plane": {"ingestUrl": "https://user:secret@ingest"}}, "/plane/ingestUrl"),
        ({"tenantId": "T_1"}, "/tenantId"),
        ({"resources": {"limits": {"cpu": "much"}}}, "/resources/limits/cpu"),
    ],
)
def test_values_that_no_plane_should_have_are_refused(change: dict[str, Any], sentence: str) -> None:
    values = overlaid(golden_values("standard"), change)
    with pytest.raises(ContractError, match=sentence):
        rendered(values, cluster_names(TENANT))


def test_the_plane_finds_every_setting_that_it_needs_and_no_other() -> None:
    needed = {
        f"UNMOGROWP_TENANT_{name.upper()}"
        for name, field in TenantPlaneSettings.model_fields.items()
        if field.is_required()
    }
    known = {f"UNMOGROWP_TENANT_{name.upper()}" for name in TenantPlaneSettings.model_fields}
    for plan in Plan:
        for manifest in manifests(plan.value):
            for container in (
                manifest.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
            ):
                named = {each["name"] for each in container["env"]}
                assert needed <= named <= known, (plan, manifest["kind"])


def test_the_secret_is_asked_for_exactly_what_the_driver_keeps_in_it() -> None:
    pods = [each for each in manifests("standard") if each["kind"] == "StatefulSet"]
    env = pods[0]["spec"]["template"]["spec"]["containers"][0]["env"]
    keys = {each["valueFrom"]["secretKeyRef"]["key"] for each in env if "valueFrom" in each}
    assert keys == set(SECRETS)


def test_the_ground_is_what_must_be_there_before_the_first_pod_and_the_release_holds_none_of_it() -> None:
    names = cluster_names(TENANT)
    first = [each["kind"] for each in ground(golden_values("enterprise"), names)]
    assert first[0] == "Namespace"
    assert sorted(first) == sorted(
        ["Namespace", "NetworkPolicy", "NetworkPolicy", "ResourceQuota", "LimitRange", "ServiceAccount"]
    )
    then = {each["kind"] for each in manifests("enterprise", ground=False)}
    assert then.isdisjoint(first)
    assert "Job" in then


def test_the_migration_runs_before_the_pods_and_only_where_the_database_is_a_server() -> None:
    job = next(each for each in manifests("enterprise") if each["kind"] == "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert not [each for each in manifests("standard") if each["kind"] == "Job"]


def test_a_plan_with_more_room_asks_for_more() -> None:
    def limit_bytes(plan: Plan) -> int:
        quota = next(each for each in manifests(plan.value) if each["kind"] == "ResourceQuota")
        return int(quota["spec"]["hard"]["limits.memory"].removesuffix("Gi"))

    assert limit_bytes(Plan.STARTER) < limit_bytes(Plan.STANDARD) < limit_bytes(Plan.ENTERPRISE)


@pytest.mark.parametrize("plan", list(Plan))
def test_all_replicas_of_a_plan_and_its_migration_fit_into_its_quota(plan: Plan) -> None:
    values, found = golden_values(plan.value), manifests(plan.value)
    quota = next(each for each in found if each["kind"] == "ResourceQuota")["spec"]["hard"]
    scaling = values.get("autoscaling", {})
    pods = (scaling["maxReplicas"] if scaling.get("enabled") else values["replicas"]) + 1  # the migration's
    for part in ("requests", "limits"):
        for amount in ("cpu", "memory"):
            wanted = pods * _amount(values["resources"][part][amount])
            assert wanted <= _amount(quota[f"{part}.{amount}"]), (part, amount)
    assert pods <= int(quota["pods"])


def _amount(quantity: str) -> float:
    factors = {"m": 1e-3, "Mi": 2**20, "Gi": 2**30}
    unit = next((each for each in factors if quantity.endswith(each)), "")
    return float(quantity.removesuffix(unit)) * factors.get(unit, 1)
