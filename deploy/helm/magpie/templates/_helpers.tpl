{{/* The name of everything, with room for a component behind it. */}}
{{- define "magpie.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "magpie.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "magpie.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "magpie.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* What tells the pods of a component from all others; never changes. */}}
{{- define "magpie.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- with get . "component" }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "magpie.labels" -}}
{{ include "magpie.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: magpie
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* A setting whose value is in a Secret. Takes a list: name of the setting, name
     of the Secret, whether it may be missing. */}}
{{- define "magpie.secretSetting" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 0 }}
      {{- if index . 2 }}
      optional: true
      {{- end }}
{{- end -}}

{{/* All settings of a component. A number must not come out as 1e+06. */}}
{{- define "magpie.env" -}}
{{- $secrets := .Values.secrets -}}
{{- $redis := $secrets.redis | default $secrets.database -}}
{{- $vendors := $secrets.vendors | default $secrets.database -}}
{{ include "magpie.secretSetting" (list "DATABASE_URL" $secrets.database false) }}
{{ include "magpie.secretSetting" (list "REDIS_URL" $redis false) }}
{{ include "magpie.secretSetting" (list "LEDGER_REDIS_URL" $redis true) }}
{{- if eq .component "api" }}
{{ include "magpie.secretSetting" (list "ADMIN_KEY" ($secrets.admin | default $secrets.database) false) }}
- name: API_ADDR
  value: ":8080"
{{- else }}
- name: STOP_TIME
  value: {{ printf "%ds" (int .Values.worker.stopTimeSeconds) }}
{{- end }}
{{ include "magpie.secretSetting" (list "HUNTER_API_KEY" $vendors true) }}
{{ include "magpie.secretSetting" (list "PROSPEO_API_KEY" $vendors true) }}
{{ include "magpie.secretSetting" (list "FINDYMAIL_API_KEY" $vendors true) }}
{{ include "magpie.secretSetting" (list "MILLIONVERIFIER_API_KEY" $vendors true) }}
{{ include "magpie.secretSetting" (list "LEADMAGIC_API_KEY" $vendors true) }}
{{ include "magpie.secretSetting" (list "ICYPEAS_API_KEY" $vendors true) }}
{{- if .Values.waterfalls }}
- name: WATERFALLS
  value: /etc/magpie/waterfalls.yaml
{{- end }}
- name: OPS_ADDR
  value: ":9090"
{{- range $name, $value := merge (dict) .of.settings .Values.settings }}
- name: {{ $name }}
  value: {{ if kindIs "float64" $value }}{{ $value | int64 | quote }}{{ else }}{{ $value | quote }}{{ end }}
{{- end }}
{{- end -}}

{{/* The Deployment of a component: everything but what sets api and worker apart. */}}
{{- define "magpie.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "magpie.fullname" . }}-{{ .component }}
  namespace: {{ .Release.Namespace }}
  labels: {{- include "magpie.labels" . | nindent 4 }}
spec:
  {{- if not .of.autoscaling.enabled }}
  replicas: {{ .of.replicas }}
  {{- end }}
  selector:
    matchLabels: {{- include "magpie.selector" . | nindent 6 }}
  strategy:
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 1
  template:
    metadata:
      labels: {{- include "magpie.labels" . | nindent 8 }}
      {{- $scrape := dict }}
      {{- if .Values.metrics.scrapeAnnotations }}
      {{- $scrape = dict "prometheus.io/scrape" "true" "prometheus.io/port" "9090" "prometheus.io/path" "/metrics" }}
      {{- end }}
      {{- $file := dict }}
      {{- with .Values.waterfalls }}
      {{- $file = dict "checksum/waterfalls" (sha256sum .) }}
      {{- end }}
      {{- with merge (dict) .of.podAnnotations $scrape $file }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "magpie.serviceAccount" . }}
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: {{ .of.terminationGracePeriodSeconds }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile: {type: RuntimeDefault}
      {{- with .Values.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "magpie.selector" . | nindent 14 }}
      {{- with .of.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .of.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ include "magpie.image" . | quote }}
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          command: ["/usr/local/bin/{{ .component }}"]
          env: {{- include "magpie.env" . | nindent 12 }}
          ports:
            {{- if eq .component "api" }}
            - {name: http, containerPort: 8080}
            {{- end }}
            - {name: operations, containerPort: 9090}
          {{- if eq .component "api" }}
          lifecycle:
            preStop:
              sleep: {seconds: {{ .of.drainSeconds }}}
          {{- end }}
          # Alive is who answers at all: one that waits for its servers is left
          # to wait.
          livenessProbe:
            httpGet: {path: /healthz, port: operations}
            periodSeconds: 10
            timeoutSeconds: 3
            failureThreshold: 3
          readinessProbe:
            httpGet: {path: /readyz, port: operations}
            periodSeconds: 5
            timeoutSeconds: 3
            failureThreshold: 3
          resources: {{- toYaml .of.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            {{- if .Values.waterfalls }}
            - {name: waterfalls, mountPath: /etc/magpie, readOnly: true}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir:
            sizeLimit: {{ if eq .component "api" }}{{ .of.uploadSpace }}{{ else }}64Mi{{ end }}
        {{- if .Values.waterfalls }}
        - name: waterfalls
          configMap:
            name: {{ include "magpie.fullname" . }}-waterfalls
        {{- end }}
{{- end -}}
