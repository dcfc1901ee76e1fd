{{/* The tenant's id as host names and Kubernetes names may hold it. */}}
{{- define "tenant.slug" -}}
{{- .Values.tenantId | replace "_" "-" -}}
{{- end }}

{{- define "tenant.name" -}}
client-{{ include "tenant.slug" . }}
{{- end }}

{{- define "tenant.selector" -}}
app.kubernetes.io/name: unmogrowp-tenant
app.kubernetes.io/instance: {{ include "tenant.name" . }}
{{- end }}

{{- define "tenant.labels" -}}
{{ include "tenant.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: unmogrowp
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
unmogrowp.io/tenant: {{ .Values.tenantId }}
unmogrowp.io/plan: {{ .Values.plan }}
{{- end }}

{{- define "tenant.metadata" -}}
name: {{ include "tenant.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "tenant.labels" . | nindent 2 }}
{{- end }}

{{- define "tenant.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end }}

{{/* What every pod of the tenant has: no token, no root, no privilege. */}}
{{- define "tenant.podSecurity" -}}
serviceAccountName: {{ include "tenant.name" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "tenant.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  privileged: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities:
    drop: ["ALL"]
resources:
  {{- toYaml .Values.resources | nindent 2 }}
{{- end }}

{{/* The plane's settings; each secret by reference. */}}
{{- define "tenant.env" -}}
- { name: UNMOGROWP_TENANT_ID, value: {{ .Values.tenantId | quote }} }
- { name: UNMOGROWP_TENANT_BIND_HOST, value: "0.0.0.0" }
- { name: UNMOGROWP_TENANT_PORT, value: "8080" }
- { name: UNMOGROWP_TENANT_PLAN, value: {{ .Values.plan | quote }} }
- { name: UNMOGROWP_TENANT_CURRENCY, value: {{ .Values.plane.currency | quote }} }
- { name: UNMOGROWP_TENANT_INGEST_URL, value: {{ .Values.plane.ingestUrl | quote }} }
- { name: UNMOGROWP_TENANT_RELAY_BUDGET_BYTES, value: {{ .Values.plane.relayBudgetBytes | int64 | quote }} }
- { name: UNMOGROWP_TENANT_PUSH_MAX_BYTES, value: {{ .Values.plane.pushMaxBytes | int64 | quote }} }
- { name: UNMOGROWP_TENANT_PUSH_MAX_UNPACKED_BYTES, value: {{ .Values.plane.pushMaxUnpackedBytes | int64 | quote }} }
{{- range $name, $value := dict "EVENTS_PER_DAY_MAX" "eventsPerDayMax" "STORAGE_MAX_BYTES" "storageMaxBytes" "EXPORT_BYTES_PER_DAY_MAX" "exportBytesPerDayMax" "USERS_MAX" "usersMax" }}
{{- with index $.Values.plane $value }}
- { name: UNMOGROWP_TENANT_{{ $name }}, value: {{ . | int64 | quote }} }
{{- end }}
{{- end }}
{{- $names := list "INGEST_TOKEN" "SERVICE_TOKEN" "SIGNING_KEY" "ADMIN_PASSWORD_HASH" "SESSION_KEY" }}
{{- if eq .Values.database.kind "postgresql" }}
{{- $names = append $names "DATABASE_URL" }}
{{- end }}
{{- range $names }}
- name: UNMOGROWP_TENANT_{{ . }}
  valueFrom:
    secretKeyRef: { name: {{ $.Values.secretName }}, key: {{ . }} }
{{- end }}
{{- end }}
