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

{{/* What the WPS's runner writes on the pods of jobs. */}}
{{- define "geoportal.job.selector" -}}
app.kubernetes.io/name: geoportal
app.kubernetes.io/component: job
{{- end }}

{{/* An image of ours, and without a tag that of this version; called with (list $ IMAGE). */}}
{{- define "geoportal.image" -}}
{{- $image := last . }}
{{- if or (not $image) (regexMatch "(:[^/]+|@[^/]+)$" $image) }}{{ $image }}{{ else }}{{ $image }}:{{ (first .).Chart.AppVersion }}{{ end }}
{{- end }}

{{/* The images of the WPS, of its jobs, and of those on GPUs. */}}
{{- define "geoportal.wps.image" -}}
{{- include "geoportal.image" (list . .Values.wps.image) -}}
{{- end }}
{{- define "geoportal.job.image" -}}
{{- include "geoportal.image" (list . (.Values.jobs.image | default .Values.wps.image)) -}}
{{- end }}
{{- define "geoportal.job.cudaImage" -}}
{{- include "geoportal.image" (list . .Values.jobs.cudaImage) -}}
{{- end }}

{{/* The images that a job may run, as a list in JSON. */}}
{{- define "geoportal.job.images" -}}
{{- compact (list (include "geoportal.job.image" .) (include "geoportal.job.cudaImage" .)) | toJson -}}
{{- end }}

{{/* The keys of the taints that jobs of one placement may tolerate, as a list in JSON. */}}
{{- define "geoportal.job.taints" -}}
{{- $keys := list }}
{{- range .tolerations | default list }}
{{- if not .key }}
{{- fail "jobs.placement has a toleration without a key, which would let jobs onto every node: name the taint's key." }}
{{- end }}
{{- $keys = append $keys .key }}
{{- end }}
{{- uniq $keys | toJson -}}
{{- end }}

{{/* The cluster's own resolver, and nobody else at its port. */}}
{{- define "geoportal.dns" -}}
- to:
    {{- toYaml .Values.networkPolicy.dns | nindent 4 }}
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end }}

{{/* What no single value can say; a sentence for each, with its remedy. */}}
{{- define "geoportal.check" -}}
{{- $hub := .Values.jupyterhub }}
{{- if not (or $hub.hub.cookieSecret $hub.hub.existingSecret) }}
{{- fail "jupyterhub.hub.cookieSecret is not set: give it what `openssl rand -hex 32` prints, and keep it. A new one signs everybody out. Or name in jupyterhub.hub.existingSecret a Secret with the key hub.config.JupyterHub.cookie_secret." }}
{{- end }}
{{- if not $hub.proxy.secretToken }}
{{- fail "jupyterhub.proxy.secretToken is not set: give it what `openssl rand -hex 32` prints, and keep it. Without it an upgrade or a rollback may restart the proxy and cut everybody off." }}
{{- end }}
{{- if and (gt (int .Values.wps.replicas) 1) (not .Values.wps.databaseSecret) }}
{{- fail (printf "wps.replicas is %v, and the ledger of jobs is SQLite, which one pod can write: name a PostgreSQL in wps.databaseSecret, or set wps.replicas to 1." .Values.wps.replicas) }}
{{- end }}
{{- if and (gt (int .Values.wps.replicas) 1) (eq .Values.jobs.runIn "processes") }}
{{- fail (printf "wps.replicas is %v, and jobs.runIn is processes: several pods are for jobs.runIn kubernetes." .Values.wps.replicas) }}
{{- end }}
{{- $jobs := .Values.jobs }}
{{- range $most, $all := dict "mostCores" "cores" "mostMemoryMib" "memoryMib" }}
{{- if and (eq $jobs.runIn "kubernetes") (gt (int64 (index $jobs $most)) (int64 (index $jobs.quota $all))) }}
{{- fail (printf "jobs.%s is %v, and jobs.quota.%s is %v for all jobs together: such a job would wait for ever, so lower the first or raise the second." $most (int64 (index $jobs $most)) $all (int64 (index $jobs.quota $all))) }}
{{- end }}
{{- end }}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.dns) }}
{{- fail "networkPolicy.dns is empty, which would let WPS and jobs ask any address at port 53: name the cluster's resolver." }}
{{- end }}
{{- if ne ($hub.hub.baseUrl | default "/") "/" }}
{{- fail (printf "jupyterhub.hub.baseUrl is %s, and the WPS is found at / only: give the geoportal a host name of its own." $hub.hub.baseUrl) }}
{{- end }}
{{- $cloud := $hub.custom.geoportal.authenticator }}
{{- if eq $cloud.kind "nextcloud" }}
{{- range $name, $example := dict "url" "https://cloud.example.org" "callback_url" "https://geo.example.org/hub/oauth_callback" }}
{{- $address := index $cloud $name | default "" }}
{{- if not $address }}
{{- fail (printf "jupyterhub.custom.geoportal.authenticator.%s is not set: give an address such as %s, or kind: shared-password for a trial." $name $example) }}
{{- else if not (hasPrefix "https://" $address) }}
{{- fail (printf "jupyterhub.custom.geoportal.authenticator.%s is %s, on which tokens could be read on the way: give an address such as %s." $name $address $example) }}
{{- end }}
{{- end }}
{{- end }}
{{- if ne .Values.jupyterhub.custom.geoportal.spawner.kind "kubernetes" }}
{{- fail "jupyterhub.custom.geoportal.spawner.kind must be kubernetes in a cluster." }}
{{- end }}
{{- end }}
