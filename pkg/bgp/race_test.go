// SPDX-License-Identifier: Apache-2.0

//go:build race

package bgp

// raced tells that the race detector watches.
const raced = true
