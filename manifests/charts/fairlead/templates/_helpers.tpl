{{- /*
The chart is an overlay over manifests/, whose files it reads: there is one text of each object. What these definitions do
is what an overlay of kustomize would.
*/ -}}

{{- /* Adds what the chart adds to every object. Takes root, object, and name: the component, or nothing. */ -}}
{{- define "fairlead.label" -}}
{{- $labels := .object.metadata.labels | default dict -}}
{{- $_ := set $labels "app.kubernetes.io/part-of" "fairlead" -}}
{{- if .name -}}{{- $_ := set $labels "app.kubernetes.io/name" .name -}}{{- end -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version) -}}
{{- $_ := set .object.metadata "labels" $labels -}}
{{- end -}}

{{- /* Prints an object, in the namespace of the release. Takes root, object and name. */ -}}
{{- define "fairlead.print" -}}
{{- include "fairlead.label" . -}}
{{- printf "---\n%s\n" (toYaml .object | replace "fairlead-system" .root.Release.Namespace) -}}
{{- end -}}

{{- /* Prints the objects of a file from the given one on. Takes root, path, name and from. */ -}}
{{- define "fairlead.file" -}}
{{- $context := . -}}
{{- range $i, $document := splitList "\n---\n" (.root.Files.Get (printf "files/%s" .path)) -}}
{{- if ge $i ($context.from | default 0 | int) -}}
{{- include "fairlead.print" (dict "root" $context.root "name" $context.name "object" (fromYaml $document)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /*
Gives a port of a container another number: in the list of ports, in the probes that ask it, and by an argument. A number that
is the file's changes nothing. Takes container, values, and of the port: name, number, value (the value's name), and argument,
to which the number is appended; without it the program knows by itself.
*/ -}}
{{- define "fairlead.port" -}}
{{- $ := . -}}
{{- $number := int .number -}}
{{- $flag := printf "%s=" (first (splitList "=" .argument)) -}}
{{- range $.values.extraArgs -}}
{{- if and $.argument (hasPrefix $flag .) (not (hasSuffix (toString $number) .)) -}}
{{- fail (printf "extraArgs has %s, and the pod has port %d: set %s instead" . $number $.value) -}}
{{- end -}}
{{- end -}}
{{- range $port := .container.ports -}}
{{- if and (eq .name $.name) (ne (int .containerPort) $number) -}}
{{- range list $.container.livenessProbe $.container.readinessProbe -}}
{{- if eq (int .httpGet.port) (int $port.containerPort) -}}{{- $_ := set .httpGet "port" $number -}}{{- end -}}
{{- end -}}
{{- $_ := set . "containerPort" $number -}}
{{- with $.argument -}}{{- $_ := set $.container "args" (append $.container.args (printf "%s%d" . $number)) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Changes the workload of a file by values, and prints it. Takes root, path, name, values, args and ports. */ -}}
{{- define "fairlead.workload" -}}
{{- $object := fromYaml (first (splitList "\n---\n" (.root.Files.Get (printf "files/%s" .path)))) -}}
{{- $pod := $object.spec.template.spec -}}
{{- $container := first $pod.containers -}}
{{- range .ports -}}
{{- include "fairlead.port" (merge (dict "container" $container "values" $.values) .) -}}
{{- end -}}
{{- $image := .root.Values.image -}}
{{- $name := printf "%s:%s" $container.image ($image.tag | default .root.Chart.AppVersion) -}}
{{- $_ := set $container "image" (ternary (printf "%s/%s" $image.registry $name) $name (ne $image.registry "")) -}}
{{- $_ := set $container "imagePullPolicy" $image.pullPolicy -}}
{{- $_ := set $container "args" (concat $container.args .args .values.extraArgs) -}}
{{- with .values.resources -}}{{- $_ := set $container "resources" . -}}{{- end -}}
{{- with .values.nodeSelector -}}{{- $_ := set $pod "nodeSelector" . -}}{{- end -}}
{{- with $image.pullSecrets -}}{{- $_ := set $pod "imagePullSecrets" . -}}{{- end -}}
{{- with .values.replicas -}}{{- $_ := set $object.spec "replicas" . -}}{{- end -}}
{{- with .checksum -}}{{- $_ := set $object.spec.template.metadata "annotations" (dict "checksum/config" .) -}}{{- end -}}
{{- include "fairlead.print" (dict "root" .root "name" .name "object" $object) -}}
{{- end -}}
