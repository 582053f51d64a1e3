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
{{- $store := dict "url" (default "file:///var/lib/tidecast" .Values.store.url) -}}
{{- if and .Values.store.properties (not .Values.store.url) }}
{{- fail "store.properties mean nothing to a folder: set store.url" }}
{{- end }}
{{- with .Values.store.properties }}
{{- $_ := set $store "properties" . }}
{{- end }}
{{- $own := dict "http" (dict "listen" "0.0.0.0:9464") "store" $store -}}
{{- mergeOverwrite (deepCopy .Values.config) $own | toYaml }}
{{- end }}

{{/* The volume of a folder: "" (none), "empty", "claim" (one for all) or "template" (one a replica). */}}
{{- define "tidecast.volume" -}}
{{- if .Values.store.url }}
{{- else if not .Values.persistence.enabled }}empty
{{- else if .Values.persistence.existingClaim }}claim
{{- else }}template
{{- end }}
{{- end }}

{{/* Seconds that a pod gets to stop: more than the daemon takes for itself, as far as that can be read here. */}}
{{- define "tidecast.grace" -}}
{{- $grace := int .Values.terminationGracePeriodSeconds -}}
{{- $stop := dig "daemon" "stop_timeout" "20s" .Values.config | toString -}}
{{- $unit := dict "s" 1 "m" 60 -}}
{{- if regexMatch "^[0-9]+[sm]$" $stop }}
{{- if le $grace (mul (int (regexFind "[0-9]+" $stop)) (get $unit (regexFind "[sm]$" $stop)) | int) }}
{{- fail (printf "terminationGracePeriodSeconds is %d; it must be longer than config.daemon.stop_timeout, %s" $grace $stop) }}
{{- end }}
{{- end }}
{{- $grace }}
{{- end }}
