{{- /* metadata of an object: dict "root" . "name" "weft-ps" "component" "ps" */ -}}
{{- define "weft.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  app.kubernetes.io/name: weft
  app.kubernetes.io/part-of: weft
  {{- with .component }}
  app.kubernetes.io/component: {{ . }}
  {{- end }}
{{- end }}

{{- define "weft.selector" -}}
app.kubernetes.io/name: weft
app.kubernetes.io/component: {{ . }}
{{- end }}

{{- /* What every pod is: no API server, no privileges; secrets are root's, readable by fsGroup. */ -}}
{{- define "weft.pod" -}}
serviceAccountName: weft
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "weft.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "weft.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end }}

{{- define "weft.resources" -}}
resources:
  requests: {cpu: {{ .cpu | quote }}, memory: {{ .memory }}}
  limits: {memory: {{ .memory }}}
{{- end }}

{{- define "weft.scrape" -}}
prometheus.io/scrape: "true"
prometheus.io/port: "7701"
prometheus.io/path: /metrics
{{- end }}

{{- define "weft.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 5
  failureThreshold: 12
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 3
{{- end }}

{{- /* dict "component" "ps" "when" "ScheduleAnyway" */ -}}
{{- define "weft.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: {{ .when }}
    labelSelector:
      matchLabels: {app.kubernetes.io/name: weft, app.kubernetes.io/component: {{ .component }}}
{{- end }}

{{- define "weft.configVolume" -}}
- name: config
  configMap: {name: weft-config}
{{- end }}

{{- /* dict "root" . "files" (list "ps.key" "peers" "allow"): what this role needs of the folder of keys */ -}}
{{- define "weft.keysVolume" -}}
- name: keys
  secret:
    secretName: {{ .root.Values.keysSecret }}
    defaultMode: 256
    items:
      {{- range .files }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- end }}

{{- define "weft.tokenVolume" -}}
- name: token
  secret: {secretName: {{ .Values.tokenSecret }}, defaultMode: 256}
{{- end }}

{{- define "weft.tmpVolume" -}}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
{{- end }}

{{- define "weft.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "weft.metadata" . | nindent 2 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    {{- include "weft.selector" .component | nindent 4 }}
  ports:
    - {name: weft, port: {{ .port }}, targetPort: weft}
    - {name: http, port: 7701, targetPort: http}
{{- end }}

{{- define "weft.disruptions" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "weft.metadata" . | nindent 2 }}
spec:
  maxUnavailable: {{ .max }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "weft.selector" .component | nindent 6 }}
{{- end }}

{{- /* dict "root" . "size" "1Gi" "mode" "ReadWriteOnce" */ -}}
{{- define "weft.claim" -}}
accessModes: [{{ .mode }}]
{{- with .root.Values.volumes.storageClassName }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests: {storage: {{ .size }}}
{{- end }}
