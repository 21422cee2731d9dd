{{- define "cnibot.labels" -}}
app.kubernetes.io/name: cnibot
app.kubernetes.io/part-of: cnibot
{{- end }}

{{- /* Objects of the whole cluster: a second release in another namespace has its own. */ -}}
{{- define "cnibot.clusterName" -}}
cnibot{{ if ne .Release.Namespace "cnibot" }}-{{ .Release.Namespace }}{{ end }}
{{- end }}

{{- define "cnibot.image" -}}
{{ .Values.image.registry }}/{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* An air-gapped cluster's registry holds Redis, too; ghcr.io, where ours comes from, does not. */ -}}
{{- define "cnibot.redisImage" -}}
{{ .Values.redis.sidecar.registry | default (eq .Values.image.registry "ghcr.io" | ternary "docker.io" .Values.image.registry) }}/{{ .Values.redis.sidecar.repository }}:{{ .Values.redis.sidecar.tag }}
{{- end }}

{{- define "cnibot.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: cnibot
    namespace: {{ .Release.Namespace }}
{{- end }}

{{- /* Restricted in all but the host network. */ -}}
{{- define "cnibot.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "cnibot.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: ["ALL"]
{{- end }}

{{- define "cnibot.stateVolume" -}}
- name: state
{{- if and .Values.persistence.enabled (ne .Values.redis.mode "external") }}
  persistentVolumeClaim:
    claimName: {{ .Values.persistence.existingClaim | default "cnibot-state" }}
{{- else }}
  emptyDir:
    sizeLimit: 1Gi
{{- end }}
{{- end }}

{{- define "cnibot.env" -}}
- name: HOME
  value: /tmp
- name: CNIBOT_CONFIG
  value: /etc/cnibot/config.yaml
- name: CNIBOT_STATE_DIR
  value: /var/lib/cnibot
{{- if ne .Release.Namespace "cnibot" }}
- name: CNIBOT_BOT_NAMESPACE
  value: {{ .Release.Namespace }}
{{- end }}
{{- if or .Values.image.digest .Values.image.tag (ne (printf "%s/%s" .Values.image.registry .Values.image.repository) "ghcr.io/cnibot/cnibot") }}
- name: CNIBOT_AGENT_IMAGE
  value: {{ include "cnibot.image" . }}
{{- end }}
- name: CNIBOT_SLACK_BOT_TOKEN_FILE
  value: /var/run/secrets/cnibot/slack/{{ .Values.slack.botTokenKey }}
{{- if eq .Values.slack.mode "http" }}
- name: CNIBOT_SLACK_MODE
  value: http
- name: CNIBOT_SLACK_SIGNING_SECRET_FILE
  value: /var/run/secrets/cnibot/slack/{{ .Values.slack.signingSecretKey }}
{{- else }}
- name: CNIBOT_SLACK_APP_TOKEN_FILE
  value: /var/run/secrets/cnibot/slack/{{ .Values.slack.appTokenKey }}
{{- end }}
{{- if eq .Values.redis.mode "external" }}
- name: CNIBOT_REDIS_URL_FILE
  value: /var/run/secrets/cnibot/redis/{{ .Values.redis.external.urlKey }}
{{- else if eq .Values.redis.mode "sidecar" }}
- name: CNIBOT_REDIS_URL
  value: unix:///var/run/redis/redis.sock
{{- end }}
{{- if .Values.webhook.enabled }}
- name: CNIBOT_HTTP_HOST
  valueFrom: {fieldRef: {fieldPath: status.hostIP}}
- name: CNIBOT_HTTP_PORT
  value: {{ .Values.webhook.port | quote }}
{{- if .Values.webhook.existingSecret }}
- name: CNIBOT_ALERTMANAGER_TOKEN_FILE
  value: /var/run/secrets/cnibot/webhook/{{ .Values.webhook.tokenKey }}
{{- end }}
{{- end }}
{{- if .Values.monitoring.serviceMonitor.enabled }}
- name: CNIBOT_HEALTH_HOST
  valueFrom: {fieldRef: {fieldPath: status.hostIP}}
{{- end }}
{{- with .Values.bot.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "cnibot.mounts" -}}
- name: tmp
  mountPath: /tmp
- name: state
  mountPath: /var/lib/cnibot
- name: config
  mountPath: /etc/cnibot
  readOnly: true
- name: slack
  mountPath: /var/run/secrets/cnibot/slack
  readOnly: true
{{- if eq .Values.redis.mode "external" }}
- name: redis
  mountPath: /var/run/secrets/cnibot/redis
  readOnly: true
{{- else if eq .Values.redis.mode "sidecar" }}
- name: redis-socket
  mountPath: /var/run/redis
{{- end }}
{{- if and .Values.webhook.enabled .Values.webhook.existingSecret }}
- name: webhook
  mountPath: /var/run/secrets/cnibot/webhook
  readOnly: true
{{- end }}
{{- end }}

{{- define "cnibot.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 256Mi
{{ include "cnibot.stateVolume" . }}
- name: config
  configMap:
    name: cnibot
- name: slack
  secret:
    secretName: {{ .Values.slack.existingSecret }}
    defaultMode: 0440
{{- if eq .Values.redis.mode "external" }}
- name: redis
  secret:
    secretName: {{ .Values.redis.external.existingSecret }}
    defaultMode: 0440
{{- else if eq .Values.redis.mode "sidecar" }}
- name: redis-socket
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
{{- end }}
{{- if and .Values.webhook.enabled .Values.webhook.existingSecret }}
- name: webhook
  secret:
    secretName: {{ .Values.webhook.existingSecret }}
    defaultMode: 0440
{{- end }}
{{- end }}

{{- /* On the node's own loopback, where only the node (and its kubelet) can ask, unless Prometheus has to. */ -}}
{{- define "cnibot.health" -}}
httpGet: { {{- if not .root.Values.monitoring.serviceMonitor.enabled }}host: 127.0.0.1, {{ end }}port: 9743, path: {{ .path }}}
timeoutSeconds: 5
{{- end }}
