{{/* Labels of everything that this chart makes; z2jh's policies select other ones. */}}
{{- define "geoportal.labels" -}}
app.kubernetes.io/name: geoportal
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* What never changes, to find the pods of the WPS by. */}}
{{- define "geoportal.wps.selector" -}}
app.kubernetes.io/name: geoportal
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: wps
{{- end }}
