// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-io/fairlead/pkg/settings"
)

// config is the cloud config of the tests.
func config() settings.Config {
	return settings.Config{
		AddressTypes: map[string][]string{"internet": {"public"}, "intranet": {"office", "lab"}},
		AccessLists:  map[string][]string{"office": {"10.1.0.0/16"}, "empty": {}},
	}
}

// web is a Service with TCP 80 and 443, UDP 53, of both families, with these annotations.
func web(annotations map[string]string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Annotations: annotations},
		Spec: corev1.ServiceSpec{
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol},
			Ports: []corev1.ServicePort{
				{Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(8080), NodePort: 30080},
				{Port: 443, Protocol: corev1.ProtocolTCP},
				{Port: 53, Protocol: corev1.ProtocolUDP},
			},
		},
	}
}

// values are what the rows take and refuse. A row is found by the first of its keys, without fairlead.dev/ or with the
// suffix that follows the prefix of its dialect.
type values struct{ accepts, refuses []string }

const (
	aliPrefix = "service.beta.kubernetes.io/alibaba-cloud-loadbalancer-"
	flags     = "on|off|ON| Off "
	noFlags   = "true|1|yes|enabled"
)

func split(text string) []string { return strings.Split(text, "|") }

// flag takes what switches a setting on or off.
func flag() values { return values{split(flags), split(noFlags)} }

// free takes anything.
func free() values { return values{accepts: []string{"x", "anything at all"}} }

// within takes whole numbers between two.
func within(least, below, most, above string) values {
	return values{[]string{least, most, " " + least + " "}, []string{below, above, "1s", "1.5", "+2", "02", "x"}}
}

// orUnset takes more.
func orUnset(v values, unset ...string) values { v.accepts = append(v.accepts, unset...); return v }

// ownValues are those of the rows under fairlead.dev/.
func ownValues() map[string]values {
	return map[string]values{
		"address-pool":         {split("office|a, b"), split("a,,b|A b|,")},
		"addresses":            {split("10.0.0.1|10.0.0.1, fd00::1|fd00::1"), split("10.0.0|::ffff:1.2.3.4|10.0.0.1,10.0.0.2|fe80::1%eth0|0.0.0.0/0")},
		"address-range":        {split("10.0.0.0/24|10.0.0.5-10.0.0.9|fd00::/64"), split("10.0.0.9-10.0.0.1|10.0.0.7/24|x")},
		"addresses-per-family": within("1", "0", "16", "17"),
		"address-type":         {split("internet|Intranet"), split("dmz|x y")},
		"ipv6-address-type":    {split("internet|INTRANET"), split("dmz")},
		"ip-version":           {split("ipv4|IPv6|DualStack"), split("v4|both")},
		"sharing-key":          {split("dns|a.b_c-1"), split("a b|-a|" + strings.Repeat("x", 64))},
		"id":                   {split("static-web|a.b_c"), split("UP|-a|a b|" + strings.Repeat("x", 64))},
		"display-name":         {split("Web shop|x"), []string{strings.Repeat("x", 254)}},
		"tags":                 {split("a=b,c=d|a|a=b=c"), split("=b|a=1,a=2|a,,b")},
		"delete-protection":    flag(), "preserve-on-delete": flag(), "leave-on-cordon": flag(), "health-check": flag(),
		"announce":                         {split("l2|BGP|both"), split("arp|ospf")},
		"interfaces":                       {split("eth0|eth*,bond1"), split("[|eth0,eth0|a,,b")},
		"nodes":                            {split("edge=true|zone in (a,b),!old|rack|rack=1,rack=1,!old"), split("=|a=b=c|zone in a|rack=1,rack=2|rack=1,edge,rack==2")},
		"zones":                            {split("a|a,b,c"), split("a,a|a,b,c,d|a b")},
		"bgp-peers":                        {split("tor-a|tor-a,tor-b"), split("Tor|a,a|a,,b")},
		"bgp-communities":                  {split("64512:100|64512:1:2,no-export"), split("64512|65536:1|064512:1|64512:00000000000000001|1:2:3:4|no-such|64512:1,64512:1")},
		"bgp-local-preference":             within("0", "-1", "4294967295", "4294967296"),
		"bgp-med":                          within("0", "-1", "4294967295", "4294967296"),
		"bgp-as-path-prepend":              within("1", "0", "16", "17"),
		"bgp-link-bandwidth":               within("1", "0", "100", "101"),
		"hostname":                         {split("www.example.com|web"), split("Www.example.com|a_b|-a|a..b")},
		"protocol-port":                    {split("tcp:80|http:80,http:443|HTTP:80, udp:53|tcp:81"), split("80:http|http|http:80,|http:080|grpc:80|http:80,tcp:80|udp:80|tcp:53|https:443|tcpssl:443|http:0|http:web|http:80:443")},
		"drain-timeout":                    within("0", "-1", "3600", "3601"),
		"access-control-allow":             {split("10.0.0.0/8|10.0.0.1,fd00::/64|office"), split("10/8|nobody|::ffff:10.0.0.0/104")},
		"access-control-deny":              {split("10.0.0.0/8|office,10.0.0.1"), split("10/8|nobody")},
		"health-check-type":                {split("tcp|HTTP|https|udp|grpc"), split("icmp|exec")},
		"health-check-port":                {split("80|443"), split("0|65536|81|53|x")},
		"health-check-path":                {split("/|/healthz?a=b"), split("/a b|" + "/" + strings.Repeat("x", 255))},
		"health-check-host":                {split("www.example.com|a:8080|$_ip"), split("a_b|a:x|a b")},
		"health-check-method":              {split("get|HEAD"), split("POST|x")},
		"health-check-codes":               {split("200|200-299,404"), split("99|600|300-200|2xx|200,200")},
		"health-check-interval":            within("1", "0", "300", "301"),
		"health-check-timeout":             within("1", "0", "300", "301"),
		"health-check-healthy-threshold":   within("1", "0", "10", "11"),
		"health-check-unhealthy-threshold": within("1", "0", "10", "11"),
	}
}

// cloudValues are those of the public cloud's rows.
func cloudValues() map[string]values {
	return map[string]values{
		"acl-status": {split("off|OFF"), split(noFlags + "|on")}, // on needs the other two
		"acl-id":     {split("office|a,b"), split("a,,b")}, "acl-type": {split("white|Black"), split("grey")},
		"id":            {split("static-web|10.0.0.9"), split("UP|a b")},
		"vswitch-id":    {split("office"), split("a,b|A")},
		"zone-maps":     {split("a:office|a:office,b:lab|a:office:10.0.0.1"), split("a|:office|a:A|a:office:x|a:b:c:d:e")},
		"master-zoneid": {split("a"), split("a b")}, "slave-zoneid": {split("a"), split("a b")},
		"preserve-lb-on-delete":    {accepts: split("on|true|x|off|false")},
		"connection-drain":         flag(),
		"connection-drain-timeout": orUnset(within("10", "9", "900", "901"), "0"),
		"type":                     {accepts: split("clb|nlb|alb")}, "force-override-listeners": {accepts: split("true|false|x")},
		"network-type": free(), "cross-zone-enabled": flag(), "resource-group-id": free(), "region": free(),
		"modification-protection": {split("ConsoleProtection|nonprotection"), split("on")},
		"external-ip-type":        free(), "spec": free(), "charge-type": {split("paybytraffic|paybybandwidth"), split("free")},
		"instance-charge-type": {split("PayBySpec|paybyclcu"), split("free")},
		"bandwidth":            orUnset(within("1", "0", "5120", "5121"), "-1"), "bandwidth-package-id": free(),
		"security-group-ids": free(), "tunnel-type": {accepts: split("x|")},
		"scheduler":           {split("rr|WRR|wlc|sch|tch|qch"), split("random")},
		"persistence-timeout": within("0", "-1", "3600", "3601"),
		"established-timeout": orUnset(within("10", "9", "900", "901"), "0"),
		"idle-timeout":        orUnset(within("1", "-1", "900", "901"), "0"), "request-timeout": orUnset(within("1", "-1", "180", "181"), "0"),
		"cps":            within("0", "-1", "1000000", "1000001"),
		"proxy-protocol": {split("off|OFF"), split("on|true")}, "sticky-session": {split("off|OFF"), split("on|true")},
		"ppv2-pvl-ep-id-enabled": flag(), "ppv2-pvl-eps-id-enabled": flag(), "ppv2-pvl-vpc-id-enabled": flag(),
		"listener-port-range": {refuses: split("1000-2000:80|2000-1000:80|80-80:80|10:80|1-2:80:x")},
		"cert-id":             {refuses: split("123|x")}, "additional-cert-ids": free(), "domain-extensions": free(),
		"tls-cipher-policy": {split("tls_cipher_policy_1_2|TLS_CIPHER_POLICY_1_0"), split("strict")},
		"http2-enabled":     flag(), "cacert": flag(), "cacert-id": free(), "alpn": flag(),
		"alpn-policy":         {split("HTTP1Only|http2optional"), split("HTTP3")},
		"forward-port":        {refuses: split("80:443|80|80:https")},
		"sticky-session-type": {split("insert|server"), split("x")}, "cookie-timeout": within("1", "0", "86400", "86401"),
		"cookie":              {split("a_B-9"), []string{"a b", strings.Repeat("x", 201)}},
		"xforwardedfor-proto": flag(), "xforwardedfor-slbport": flag(), "xforwardedfor-clientsrcport": flag(),
		"health-check-http-version": {split("HTTP1.0|http1.1"), split("HTTP2")},
		"health-check-flag":         flag(), "health-check-switch": flag(),
		"health-check-type":            {split("tcp|http|UDP"), split("grpc|https")},
		"health-check-connect-port":    {split("80|0|-520|30080|8080|9"), split("65536|x|-1")},
		"health-check-httpcode":        {split("http_2xx|http_2xx,HTTP_3xx"), split("200|http_1xx|http_6xx|2xx")},
		"health-check-interval":        orUnset(within("1", "-1", "50", "51"), "0"),
		"health-check-connect-timeout": orUnset(within("1", "-1", "300", "301"), "0"),
		"health-check-timeout":         orUnset(within("1", "-1", "300", "301"), "0"),
		"healthy-threshold":            orUnset(within("2", "1", "10", "11"), "0"),
		"unhealthy-threshold":          orUnset(within("2", "1", "10", "11"), "0"),
		"backend-label":                {split("role=edge|role=edge, rack=3|empty="), split("a|a=1=2|k!=v|a=1,a=2|=v")},
		"preserve-client-ip":           flag(),
		"backend-ip-version":           {split("ipv4|IPv6|dualstack"), split("x")},
		"vgroup-port":                  {refuses: split("vsp-1:443")}, "weight": within("0", "-1", "100", "101"),
		"default-weight": within("0", "-1", "100", "101"), "ignore-weight-update": flag(),
		"server-group-type": {split("Ip|instance"), split("x")}, "graceful-shutdown": {split("true|false"), split("x")},
	}
}

func rowValues() map[string]values {
	all := map[string]values{
		"service.beta.kubernetes.io/backend-type":                    {accepts: split("ecs|eni|x")},
		"service.beta.kubernetes.io/class":                           free(),
		"service.beta.kubernetes.io/alibaba-cloud-private-zone-name": free(),
		"metallb.io/allow-shared-ip":                                 {split("a b|key"), []string{strings.Repeat("x", 254)}},
		"metallb.io/ip-allocated-from-pool":                          free(),
	}
	for _, name := range split("loadbalancerHostname|vipHost|requestedIP|hwaddr|egress|flush-conntrack") {
		all["kube-vip.io/"+name] = free()
	}
	for name, v := range ownValues() {
		all[settings.Prefix+name] = v
	}
	for name, v := range cloudValues() {
		all[aliPrefix+name] = v
	}
	return all
}

// keyOfRow returns the first key of a row.
func keyOfRow(row settings.Annotation) string {
	if row.Name != "" {
		return settings.Prefix + row.Name
	}
	return row.Aliases[0].Keys()[0]
}

// TestRows tries for each row what it takes and what it refuses, under each of its keys.
func TestRows(t *testing.T) {
	tried := rowValues()
	parser := settings.NewParser(config())
	for _, row := range settings.Table() {
		first := keyOfRow(row)
		t.Run(first, func(t *testing.T) {
			try, ok := tried[first]
			if !ok {
				t.Fatal("the test has no values for this row")
			}
			delete(tried, first)
			keys := []string{first}
			for _, alias := range row.Aliases {
				keys = append(keys, alias.Keys()...)
			}
			for _, key := range slices.Compact(keys) {
				for _, value := range try.accepts {
					if _, _, err := parser.Parse(web(map[string]string{key: value})); err != nil {
						t.Errorf("%s %q is refused: %v", key, value, err)
					}
				}
				for _, value := range try.refuses {
					_, _, err := parser.Parse(web(map[string]string{key: value}))
					if !errors.Is(err, settings.ErrInvalid) || !strings.Contains(err.Error(), key) {
						t.Errorf("%s %q: got %v, want an error that names the key", key, value, err)
					}
				}
			}
		})
	}
	for key := range tried {
		t.Errorf("the test has values for %s, which no row has", key)
	}
}

// TestVerdicts holds what comes of a value against the row's verdict.
func TestVerdicts(t *testing.T) {
	parser := settings.NewParser(config())
	tried := rowValues()
	for _, row := range settings.Table() {
		key := keyOfRow(row)
		for _, value := range tried[key].accepts {
			_, warnings, err := parser.Parse(web(map[string]string{key: value}))
			ignored := slices.ContainsFunc(warnings, func(w settings.Warning) bool {
				return w.Reason == settings.ReasonIgnored && strings.Contains(w.Text, key)
			})
			harmless := slices.Contains(row.Harmless(), strings.ToLower(strings.TrimSpace(value)))
			if want := row.Verdict == settings.Ignored && !harmless; row.Verdict != settings.Works && (err != nil || ignored != want) {
				t.Errorf("%s %q: ignored %t, want %t (%v)", key, value, ignored, want, err)
			}
		}
		for _, value := range tried[key].refuses {
			if _, _, err := parser.Parse(web(map[string]string{key: value})); err != nil && !strings.Contains(err.Error(), "expected") &&
				!strings.Contains(err.Error(), "no ") && !strings.Contains(err.Error(), "twice") && !strings.Contains(err.Error(), "must") {
				t.Errorf("%s %q: the error says not what was expected: %v", key, value, err)
			}
		}
	}
}
