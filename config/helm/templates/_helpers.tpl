{{- define "flashback-exporter.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Of a StatefulSet's pods the name has eleven characters more. */}}
{{- define "flashback-exporter.fullname" -}}
{{- $name := include "flashback-exporter.name" . }}
{{- $joined := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- .Values.fullnameOverride | default $joined | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "flashback-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "flashback-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "flashback-exporter.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{ include "flashback-exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "flashback-exporter.serviceAccountName" -}}
{{- $own := .Values.serviceAccount.create | ternary (include "flashback-exporter.fullname" .) "default" }}
{{- .Values.serviceAccount.name | default $own }}
{{- end }}

{{- define "flashback-exporter.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "flashback-exporter.secretName" -}}
{{- .Values.auth.existingSecret | default (include "flashback-exporter.fullname" .) }}
{{- end }}

{{- define "flashback-exporter.secretKey" -}}
{{- $keys := dict "login" "password" "refreshToken" "refresh-token" "bearerToken" "access-token" }}
{{- .Values.auth.key | default (get $keys .Values.auth.method) }}
{{- end }}

{{/* The Secret with web.yml; nothing where /metrics is open. */}}
{{- define "flashback-exporter.webSecretName" -}}
{{- if .Values.webConfig.existingSecret -}}
{{ .Values.webConfig.existingSecret }}
{{- else if .Values.webConfig.content -}}
{{ include "flashback-exporter.fullname" . }}-web
{{- end }}
{{- end }}

{{/* flashback-exporter.yml: what is added for signing in and for the state, under what the values say. */}}
{{- define "flashback-exporter.config" -}}
{{- $secret := printf "/etc/flashback-exporter/secret/%s" (include "flashback-exporter.secretKey" .) }}
{{- $login := dict "password_file" $secret }}
{{- if .Values.auth.email }}
{{- $_ := set $login "email" .Values.auth.email }}
{{- end }}
{{- $ways := dict
    "login" (dict "login" $login)
    "bearerToken" (dict "authorization" (dict "credentials_file" $secret))
    "refreshToken" (dict "refresh_token_file" "/var/lib/flashback-exporter/refresh-token") }}
{{- $config := dict }}
{{- if ne .Values.auth.method "none" }}
{{- $_ := set $config "api" (get $ways .Values.auth.method) }}
{{- end }}
{{- if .Values.persistence.enabled }}
{{- $_ := set $config "state" (dict "file" "/var/lib/flashback-exporter/state.db") }}
{{- end }}
{{- toYaml (mergeOverwrite $config (deepCopy (.Values.config | default dict))) }}
{{- end }}

{{/* Values that the schema cannot judge, for they are about one another. */}}
{{- define "flashback-exporter.check" -}}
{{- $auth := .Values.auth }}
{{- $config := .Values.config | default dict }}
{{- $api := $config.api | default dict }}
{{- $way := or (hasKey $api "login") (hasKey $api "authorization") (hasKey $api "refresh_token_file") }}
{{- if and $way (ne $auth.method "none") }}
{{- fail "config.api says how to sign in, and so does auth: set auth.method to none" }}
{{- end }}
{{- if or (hasKey ($api.login | default dict) "password") (hasKey ($api.authorization | default dict) "credentials") }}
{{- fail "config is no place for secrets: use auth.existingSecret" }}
{{- end }}
{{- if regexMatch "^[^/]*//[^/]*@" ($api.proxy_url | default "") }}
{{- fail "config is no place for secrets: config.api.proxy_url has a password" }}
{{- end }}
{{- if and $auth.existingSecret $auth.value }}
{{- fail "auth.existingSecret and auth.value: one of them, not both" }}
{{- end }}
{{- if and (eq $auth.method "login") $auth.value (not $auth.email) }}
{{- fail "auth.value is a password: auth.email has to be there too" }}
{{- end }}
{{- if and (eq $auth.method "refreshToken") (not .Values.persistence.enabled) }}
{{- fail "auth.method refreshToken needs persistence.enabled: each use of a refresh token brings a new one" }}
{{- end }}
{{- if and (eq $auth.method "refreshToken") (gt (int .Values.replicaCount) 1) }}
{{- fail "auth.method refreshToken is for one exporter: a token is spent by the first that uses it" }}
{{- end }}
{{- if and (dig "state" "file" "" $config) (not .Values.persistence.enabled) }}
{{- fail "config.state.file needs persistence.enabled" }}
{{- end }}
{{- if and .Values.webConfig.existingSecret .Values.webConfig.content }}
{{- fail "webConfig.existingSecret and webConfig.content: one of them, not both" }}
{{- end }}
{{- end }}
