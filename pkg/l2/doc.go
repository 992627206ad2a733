// SPDX-License-Identifier: Apache-2.0

// Package l2 attracts the traffic of addresses to this machine on the
// segments it is attached to: it answers ARP requests (RFC 826) and neighbour
// solicitations (RFC 4861) for them, announces them unasked when they are
// taken over and for as long as they stay, probes for another user before the
// first announcement, and reports and defends against other stations' claims
// (RFC 5227).
//
// The addresses are not configured on any interface; who delivers the traffic
// once it has arrived (kube-proxy, IPVS) is nobody's business here. The
// package knows links, frames and addresses. It must not know Kubernetes, nor
// which node ought to have an address: its caller decides that.
//
// One packet socket per interface and family, with a filter in the kernel,
// receives only what the caller's addresses may need. Frames are parsed,
// judged and built by pure functions (arp.go, ndp.go, judge.go); sockets,
// netlink and goroutines are in port.go, watch.go and speaker.go.
package l2
