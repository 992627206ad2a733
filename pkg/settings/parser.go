// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Config is what an operator says about settings.
type Config struct {
	// Disabled dialects are not read, as if their annotations were somebody else's.
	Disabled []Dialect
	// AddressTypes maps the values of fairlead.dev/address-type, in lower case, to pools.
	AddressTypes map[string][]string
	// DefaultAddressType holds for Services that name neither a type nor a pool; empty for none.
	DefaultAddressType string
	// AccessLists maps names to CIDRs.
	AccessLists map[string][]string
}

// Parser reads settings. It is safe for concurrent use.
type Parser struct {
	config Config
	rows   []Annotation
	// exact finds a spelling by its key; folded one of Alibaba Cloud's by its folded suffix.
	exact  map[string]spelling
	folded map[string]int
	active []Dialect
}

// spelling is a row by one of its keys. Of several that set the same, the lowest rank wins.
type spelling struct{ row, rank int }

// Ranks of precedence: own key, current kebab, legacy kebab, folded; then the other dialects.
const (
	rankOwn = iota
	rankFirst
	rankFolded = rankFirst + 2
	rankOther  = rankFolded + 1
	rankSpec   = rankOther + 3 // what the Service's spec says of the same
)

// NewParser returns a Parser.
func NewParser(config Config) *Parser {
	p := &Parser{config: config, rows: Table(), exact: map[string]spelling{}, folded: map[string]int{}, active: []Dialect{Fairlead}}
	for _, dialect := range Dialects() {
		if !slices.Contains(config.Disabled, dialect) {
			p.active = append(p.active, dialect)
		}
	}
	for i, row := range p.rows {
		if row.Name != "" {
			p.exact[Prefix+row.Name] = spelling{i, rankOwn}
		}
		for _, alias := range row.Aliases {
			p.index(i, alias)
		}
	}
	return p
}

func (p *Parser) index(row int, alias Alias) {
	if !slices.Contains(p.active, alias.Dialect) {
		return
	}
	first := rankFirst
	switch {
	case alias.Dialect == AlibabaCloud && alias.Key == "":
		p.folded[fold(alias.Suffix)] = row
	case alias.Dialect == MetalLB:
		first = rankOther
	case alias.Dialect == KubeVIP:
		first = rankOther + 2
	}
	for i, key := range alias.Keys() {
		p.exact[key] = spelling{row, first + i}
	}
}

// Parse reads the settings of a Service. The error names every wrong annotation, its value and what was expected; it
// wraps ErrInvalid. Warnings come with and without an error, in no order that depends on chance.
func (p *Parser) Parse(service *corev1.Service) (Settings, []Warning, error) {
	d := newDraft(&p.config, service)
	found := p.find(service.Annotations, d)
	for _, setting := range slices.Sorted(maps.Keys(found)) {
		p.apply(d, setting, found[setting])
	}
	if ip := strings.TrimSpace(service.Spec.LoadBalancerIP); ip != "" {
		d.at = hit{key: "spec.loadBalancerIP", value: ip, rank: rankSpec}
		if err := d.wantAddress(ip); err != nil {
			d.errs = append(d.errs, fmt.Errorf("%s: %w", d.at, err))
		}
	}
	settings := d.finish()
	if len(d.errs) > 0 {
		return Settings{}, d.warnings, fmt.Errorf("%w: %w", ErrInvalid, errors.Join(d.errs...))
	}
	return settings, d.warnings, nil
}

// hit is an annotation of a Service that a row is for.
type hit struct {
	row        *Annotation
	rank       int
	key, value string
}

// String writes the annotation, or the field of the spec, with its value.
func (h hit) String() string {
	if h.rank == rankSpec {
		return fmt.Sprintf("%s %q", h.key, h.value)
	}
	return fmt.Sprintf("annotation %s %q", h.key, h.value)
}

// empty tells whether the annotation is as good as none.
func (h hit) empty() bool { return h.value == "" && !h.row.asIs }

// find returns the annotations that are settings, by what they set, the one that wins first.
func (p *Parser) find(annotations map[string]string, d *draft) map[string][]hit {
	found := map[string][]hit{}
	for key, value := range annotations {
		at, ok := p.spelling(key)
		if !ok {
			if prefix, suffix, known := p.prefixOf(key); known {
				d.unknown = append(d.unknown, unknownKey{key: key, near: p.nearest(prefix, suffix)})
			}
			continue
		}
		row := &p.rows[at.row]
		h := hit{row: row, rank: at.rank, key: key, value: strings.TrimSpace(value)}
		found[row.setting()] = append(found[row.setting()], h)
	}
	for _, hits := range found {
		if len(hits) > 1 {
			slices.SortFunc(hits, func(a, b hit) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.key, b.key)) })
		}
	}
	return found
}

// spelling finds the row of a key.
func (p *Parser) spelling(key string) (spelling, bool) {
	if at, ok := p.exact[key]; ok {
		return at, true
	}
	if !slices.Contains(p.active, AlibabaCloud) {
		return spelling{}, false
	}
	for _, prefix := range AlibabaCloud.prefixes() {
		if suffix, ok := strings.CutPrefix(key, prefix); ok {
			row, ok := p.folded[fold(suffix)]
			return spelling{row, rankFolded}, ok
		}
	}
	return spelling{}, false
}

// apply parses the annotation that wins, and holds the others against it.
func (p *Parser) apply(d *draft, setting string, hits []hit) {
	first := hits[0]
	if !first.empty() {
		d.made[setting] = first
	}
	canonical, err := d.read(first)
	if err != nil {
		d.errs = append(d.errs, fmt.Errorf("%s: %w", first, err))
		return
	}
	for _, other := range hits[1:] {
		aside := newDraft(&p.config, d.service)
		says, err := aside.read(other)
		if !other.empty() && (err != nil || says != canonical) {
			d.overridden(other, first)
		}
	}
}

// read parses one annotation. An empty value is as good as none.
func (d *draft) read(h hit) (string, error) {
	if h.empty() {
		return "", nil
	}
	if slices.Contains(h.row.harmless, strings.ToLower(h.value)) {
		return strings.ToLower(h.value), nil
	}
	d.at = h
	canonical, err := h.row.parse(d, h.value)
	if err != nil {
		return "", err
	}
	switch h.row.Verdict {
	case Ignored:
		d.ignored(h.row.Does)
	case Refused:
		return "", errors.New(h.row.Does)
	case Works:
	}
	return canonical, nil
}

// ignored warns that the annotation that is being read has no effect.
func (d *draft) ignored(why string) {
	d.warn(ReasonIgnored, "%s has no effect: %s", d.at, why)
}

func (d *draft) warn(reason, format string, args ...any) {
	d.warnings = append(d.warnings, Warning{Reason: reason, Text: fmt.Sprintf(format, args...)})
}
