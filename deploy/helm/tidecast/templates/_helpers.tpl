{{- define "tidecast.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* At most 52 characters: pods add "-0", and their controller's revision label ten more. */}}
{{- define "tidecast.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "tidecast.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "tidecast.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "tidecast.selector" -}}
app.kubernetes.io/name: {{ include "tidecast.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tidecast.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "tidecast.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "tidecast.serviceAccount" -}}
{{- default (include "tidecast.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{/* The config file: the values, and what the chart itself knows. */}}
{{- define "tidecast.config" -}}
{{- $own := dict "http" (dict "listen" "0.0.0.0:9464") -}}
{{- $defaults := dict "store" (dict "url" "file:///var/lib/tidecast") -}}
{{- mergeOverwrite $defaults (deepCopy .Values.config) $own | toYaml }}
{{- end }}
