{{- /* docs/api.md: one table for each kind, with the fields in the order of the Go types and named by their paths. */ -}}
{{- define "gvList" -}}
# API

All fields of the objects of group `fairlead.dev`. Written by `make generate` from the types in `pkg/api/v1alpha1`; `kubectl explain
virtualip.spec.services` says the same of the version that is installed. A wrong value is refused by the API server, with a
message that names the field and what was expected.

Users write AddressPools and BGPPeers, and VirtualIPs that are [reservations](addresses.md). All else is written by Fairlead, and
there to be read.
{{ range . -}}
{{- $group := . -}}
{{- range .SortedKinds }}
{{- $kind := $group.TypeForKind . }}
## {{ $kind.Name }}

{{ $kind.Doc }}

| field | type | meaning |
|---|---|---|
{{ template "fields" (dict "path" "" "of" $kind) -}}
{{ end -}}
{{ end -}}
{{- end -}}

{{- /* A line for each field of a type, each followed by those of its own type. */ -}}
{{- define "fields" -}}
{{- $path := .path -}}
{{- range .of.Members -}}
{{- if not (has .Name (list "metadata" "kind" "apiVersion")) -}}
{{- $slice := eq (.Type.Kind | int) 5 -}}
{{- $field := printf "%s%s%s" $path .Name (ternary "[]" "" $slice) -}}
| `{{ $field }}` | {{ template "type" .Type }} | {{ template "meaning" . }} |
{{ if not (contains "k8s.io" (toString .Type)) -}}
{{ template "fields" (dict "path" (printf "%s." $field) "of" .Type) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What a type is in YAML. The numbers are the tool's: 0 is a named type, 3 a map, 4 a pointer, 5 a slice. */ -}}
{{- define "type" -}}
{{- $kind := .Kind | int -}}
{{- if and .UnderlyingType (has $kind (list 4 5)) -}}{{ template "type" .UnderlyingType }}
{{- else if eq $kind 3 -}}map of {{ template "type" .ValueType }}
{{- else if has .Name (list "Duration" "Time") -}}{{ lower .Name }}
{{- else if .Imported -}}{{ .Name }}
{{- else if and (eq $kind 0) .UnderlyingType -}}{{ template "type" .UnderlyingType }}
{{- else if .Members -}}object
{{- else -}}{{ regexReplaceAll "^u?int[0-9]*$" .Name "integer" }}
{{- end -}}
{{- end -}}

{{- /* What the comment says, and values that the schema lists. */ -}}
{{- define "meaning" -}}
{{- $parts := list -}}
{{- if has "Required: {}" .Validation -}}{{- $parts = append $parts "Required." -}}{{- end -}}
{{- with .Doc | default .Type.Doc -}}
{{- $parts = append $parts (. | replace "|" "\\|" | replace "\n" " " | trim) -}}
{{- end -}}
{{- range .Validation -}}
{{- if hasPrefix "Enum: " . -}}
{{- $parts = append $parts (printf "One of `%s`." (. | trimPrefix "Enum: [" | trimSuffix "]" | splitList " " | join "`, `")) -}}
{{- end -}}
{{- end -}}
{{- join " " $parts -}}
{{- end -}}
