// SPDX-License-Identifier: Apache-2.0

// Package provider is Fairlead's cloudprovider.Interface and nothing else: it translates between the framework's calls
// and pkg/loadbalancer (Services) and answers for nodes from what the cluster itself knows. It must not know how an
// address is chosen or announced.
package provider
