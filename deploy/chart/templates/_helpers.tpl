{{/* The labels of every object, and those that select pods. */}}
{{- define "gatewarden.labels" -}}
app.kubernetes.io/name: gatewarden
app.kubernetes.io/part-of: gatewarden
{{- end }}

{{- define "gatewarden.selector" -}}
app.kubernetes.io/name: gatewarden
{{- end }}

{{/* The metadata of an object of the release's namespace. */}}
{{- define "gatewarden.metadata" -}}
metadata:
  name: {{ .name | default "gatewarden" }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "gatewarden.labels" .root | nindent 4 }}
{{- end }}

{{/* The metadata of an object of the cluster. */}}
{{- define "gatewarden.clusterMetadata" -}}
metadata:
  name: {{ .name | default "gatewarden" }}
  labels: {{- include "gatewarden.labels" .root | nindent 4 }}
{{- end }}

{{/* The binding of a Role or ClusterRole to gatewarden's ServiceAccount. */}}
{{- define "gatewarden.bind" -}}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .name | default "gatewarden" }}
subjects:
- kind: ServiceAccount
  name: gatewarden
  namespace: {{ .root.Release.Namespace }}
{{- end }}

{{/* Not empty if there are audits. */}}
{{- define "gatewarden.audits" -}}
{{- if not (has .Values.audits.interval (list "0" "0s")) -}}true{{- end -}}
{{- end }}

{{/* The configuration as text. */}}
{{- define "gatewarden.configuration" -}}
{{- if kindIs "string" .Values.configuration -}}
{{ .Values.configuration }}
{{- else if .Values.configuration -}}
{{ toYaml .Values.configuration }}
{{- else -}}
{{ .Files.Get "files/config.yaml" }}
{{- end -}}
{{- end }}

{{/* The mesh's root namespace, in a configuration. */}}
{{- define "gatewarden.rootNamespace" -}}
{{- $mesh := .mesh | default dict -}}
{{- $mesh.rootNamespace | default "istio-system" -}}
{{- end }}

{{/* The namespaces of the guarded gateways in a configuration, each once, as a JSON list. */}}
{{- define "gatewarden.gatewayNamespaces" -}}
{{- $all := list -}}
{{- range .guardedGateways -}}{{- $all = append $all .namespace -}}{{- end -}}
{{- $all | uniq | toJson -}}
{{- end }}

{{/* The labels of the guarded gateways' pods in a configuration, as a JSON list. */}}
{{- define "gatewarden.podLabels" -}}
{{- $all := list -}}
{{- range .guardedGateways -}}{{- $all = append $all .podLabels -}}{{- end -}}
{{- $all | toJson -}}
{{- end }}

{{/*
The webhooks of a configuration: those of files/webhooks.yaml, which "gatewarden webhooks" has
written for files/config.yaml, with the namespaces and labels of the configuration that is in force.
*/}}
{{- define "gatewarden.webhooks" -}}
{{- $shipped := .root.Files.Get "files/config.yaml" | fromYaml -}}
{{- $config := include "gatewarden.configuration" .root | fromYaml -}}
{{- $from := include "gatewarden.gatewayNamespaces" $shipped | fromJsonArray -}}
{{- $to := include "gatewarden.gatewayNamespaces" $config | fromJsonArray -}}
{{- $fromLabels := include "gatewarden.podLabels" $shipped | replace "\"" "'" -}}
{{- $toLabels := include "gatewarden.podLabels" $config | replace "\"" "'" -}}
{{- $webhooks := list -}}
{{- range .webhooks -}}
{{- $selector := index .namespaceSelector.matchExpressions 0 -}}
{{- $namespaces := list -}}
{{- range $selector.values -}}
{{- if has . $from -}}
{{- $namespaces = concat $namespaces $to -}}
{{- else if eq . (include "gatewarden.rootNamespace" $shipped) -}}
{{- $namespaces = append $namespaces (include "gatewarden.rootNamespace" $config) -}}
{{- else if eq . "gatewarden" -}}
{{- $namespaces = append $namespaces $.root.Release.Namespace -}}
{{- else -}}
{{- $namespaces = append $namespaces . -}}
{{- end -}}
{{- end -}}
{{- $_ := set $selector "values" (uniq $namespaces) -}}
{{- range .matchConditions -}}
{{- $names := printf "'%s'" (join "', '" $to) -}}
{{- $expression := .expression | replace $fromLabels $toLabels -}}
{{- $_ := set . "expression" ($expression | replace (printf "'%s'" (join "', '" $from)) $names) -}}
{{- end -}}
{{- $_ := set .clientConfig.service "namespace" $.root.Release.Namespace -}}
{{- if and (eq $.root.Values.certificate.mode "secret") $.root.Values.certificate.caBundle -}}
{{- $_ := set .clientConfig "caBundle" (b64enc $.root.Values.certificate.caBundle) -}}
{{- end -}}
{{- $_ := set . "timeoutSeconds" (int $.root.Values.timeoutSeconds) -}}
{{- if or (eq $.failurePolicy "Ignore") $.all -}}
{{- $_ := set . "failurePolicy" $.failurePolicy -}}
{{- end -}}
{{- $webhooks = append $webhooks . -}}
{{- end -}}
{{- $webhooks | toJson -}}
{{- end }}

{{/*
The objects of one of deploy/'s files, which are copied to files/, in the release's namespace instead
of gatewarden and the mesh's root namespace instead of istio-system. "without" lists API groups whose
rules are left out, "except" names of objects, and "labels" are added.
*/}}
{{- define "gatewarden.shipped" -}}
{{- $config := include "gatewarden.configuration" .root | fromYaml -}}
{{- $namespaces := dict "gatewarden" .root.Release.Namespace "istio-system" (include "gatewarden.rootNamespace" $config) -}}
{{- range .root.Files.Get .file | splitList "\n---\n" }}
{{- $object := fromYaml . }}
{{- if not (has $object.metadata.name ($.except | default list)) }}
{{- $_ := set $object.metadata "labels" (include "gatewarden.labels" $ | fromYaml | merge (deepCopy ($.labels | default dict))) }}
{{- range concat (list $object.metadata) ($object.subjects | default list) }}
{{- if .namespace }}
{{- $_ := set . "namespace" (get $namespaces .namespace) }}
{{- end }}
{{- end }}
{{- if $object.rules }}
{{- $rules := list }}
{{- range $object.rules }}
{{- if not (has (first .apiGroups) $.without) }}
{{- $rules = append $rules . }}
{{- end }}
{{- end }}
{{- $_ := set $object "rules" $rules }}
{{- end }}
{{- if eq $object.kind "ValidatingAdmissionPolicyBinding" }}
{{- $_ := set $object.spec.paramRef "namespace" $.root.Release.Namespace }}
{{- end }}
{{- if eq $object.kind "ValidatingAdmissionPolicy" }}
{{- range $object.spec.matchConstraints.namespaceSelector.matchExpressions }}
{{- $excluded := list }}
{{- range .values }}
{{- $excluded = append $excluded (get $namespaces . | default .) }}
{{- end }}
{{- $_ := set . "values" $excluded }}
{{- end }}
{{- end }}
{{- if eq $object.kind "FlowSchema" }}
{{- range $object.spec.rules }}
{{- range .subjects }}
{{- $_ := set .serviceAccount "namespace" $.root.Release.Namespace }}
{{- end }}
{{- end }}
{{- end }}
---
{{ toYaml $object }}
{{- end }}
{{- end }}
{{- end }}
