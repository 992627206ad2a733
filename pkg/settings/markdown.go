// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"fmt"
	"io"
	"strings"
)

// WriteMarkdown writes docs/annotations.md.
func WriteMarkdown(out io.Writer) error {
	var b strings.Builder
	b.WriteString(intro)
	for _, section := range []struct {
		level        Level
		title, about string
	}{
		{OfAddress, "The address", "Services that share an address agree on what they say of announcing, of zones, nodes and the host name: the first one sets it, a later one that says otherwise waits with a warning, and one that says nothing inherits it."},
		{OfPorts, "Ports, connections and clients", ""},
		{OfHealth, "Health check", ""},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n", section.title)
		if section.about != "" {
			b.WriteString(section.about + "\n\n")
		}
		writeOwn(&b, section.level)
	}
	for _, section := range []struct {
		dialect      Dialect
		title, about string
	}{
		{AlibabaCloud, "Alibaba Cloud", "Keys begin with `service.beta.kubernetes.io/alibaba-cloud-`, or with `service.beta.kubernetes.io/alicloud-`; " +
			"case, `-` and `_` in what follows do not count, so the keys of 2017 such as `service.beta.kubernetes.io/alicloud-loadbalancer-ProtocolPort` work. " +
			"Of two spellings of one setting the exact one with the first prefix wins, then the exact one with the second, then the others. " +
			"A manifest's `loadBalancerClass` of Alibaba Cloud [has to go](classes.md)."},
		{MetalLB, "MetalLB", "Keys begin with `metallb.io/` or `metallb.universe.tf/`; of both, the first wins."},
		{KubeVIP, "kube-vip", "Keys begin with `kube-vip.io/`."},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n%s `%s` in `settings.disabledDialects` of the cloud config switches them off.\n\n",
			section.title, section.about, section.dialect)
		writeDialect(&b, section.dialect)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

const intro = `<!-- Generated from the table in pkg/settings by 'make generate'. -->
# Annotations of Services

What a Service of type LoadBalancer can ask for. Fairlead's own keys begin with ` + "`" + Prefix + "`" + `; manifests written for Alibaba
Cloud, MetalLB and kube-vip are read as well. A Service may use several; where two say different things, the own key wins
over Alibaba Cloud's, that over MetalLB's, and that over kube-vip's, and an event AnnotationOverridden names the loser.

Values are trimmed; an empty one is as good as none, though it too wins over other spellings of its setting. Switches are ` + "`on` or `off`" + `, in any case. Numbers are plain decimals.
Removing an annotation brings the default back.

All annotations of a Service are read before anything is done. If one is wrong, nothing is: the Service keeps what it has,
and one Warning event (SyncLoadBalancerFailed, or InvalidSettings) names every wrong key, its value and what was expected. What is understood
and has no effect here is told in one Warning event AnnotationIgnored. A key under these prefixes that is not known gets an
event AnnotationUnknown with the nearest known one. Deleting a Service reads no annotation.
`

func writeOwn(b *strings.Builder, level Level) {
	b.WriteString("| `" + Prefix + "...` | value | default | what it does |\n|---|---|---|---|\n")
	for _, row := range Table() {
		if row.Name != "" && row.Level == level {
			fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", row.Name, cell(row.Expected), cell(row.Default), cell(row.Does))
		}
	}
}

func writeDialect(b *strings.Builder, dialect Dialect) {
	b.WriteString("| key | value | what becomes of it |\n|---|---|---|\n")
	for _, row := range Table() {
		for _, alias := range row.Aliases {
			if alias.Dialect != dialect {
				continue
			}
			key := "..." + alias.Suffix
			if alias.Key != "" {
				key = alias.Key
			}
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", key, cell(row.Expected), cell(row.outcome()))
		}
	}
}

// outcome says what becomes of an alias.
func (a Annotation) outcome() string {
	switch {
	case a.Verdict == Ignored:
		return "**Ignored**, with a warning" + a.except() + ": " + a.Does + "."
	case a.Verdict == Refused:
		return "**Refused**" + a.except() + ": " + a.Does + "."
	case a.Name != "":
		return "As `" + Prefix + a.Name + "`."
	}
	return a.Does
}

// except names the values that ask for nothing.
func (a Annotation) except() string {
	if len(a.harmless) == 0 || a.harmless[0] == "" {
		return ""
	}
	return ", except `" + strings.Join(a.harmless, "` and `") + "`"
}

func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }
