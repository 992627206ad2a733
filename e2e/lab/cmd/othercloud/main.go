// SPDX-License-Identifier: Apache-2.0

// Command othercloud is the cloud controller manager of another cloud, to run beside Fairlead's: the stock application
// and its stock controllers, over a cloud that knows every node and has one load balancer address for everybody.
package main

import (
	"context"
	"net"
	"os"

	corev1 "k8s.io/api/core/v1"
	cloudprovider "k8s.io/cloud-provider"
	"k8s.io/cloud-provider/app"
	appconfig "k8s.io/cloud-provider/app/config"
	"k8s.io/cloud-provider/fake"
	"k8s.io/cloud-provider/names"
	"k8s.io/cloud-provider/options"
	"k8s.io/component-base/cli"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/klog/v2"
)

// provider is the cloud's name, and the scheme of its provider IDs.
const provider = "other"

func main() {
	opts, err := options.NewCloudControllerManagerOptions()
	if err != nil {
		klog.ErrorS(err, "making the default options")
		klog.FlushAndExit(klog.ExitFlushTimeout, 1)
	}
	opts.KubeCloudShared.CloudProvider.Name = provider
	command := app.NewCloudControllerManagerCommand(opts, newCloud, app.DefaultInitFuncConstructors,
		names.CCMControllerAliases(), cliflag.NamedFlagSets{}, context.Background().Done())
	os.Exit(cli.Run(command))
}

func newCloud(*appconfig.CompletedConfig) cloudprovider.Interface {
	return &fake.Cloud{
		Provider: provider, Exists: true, EnableInstancesV2: true, DisableRoutes: true,
		ExternalIP: net.IPv4(203, 0, 113, 9),
		OverrideInstanceMetadata: func(_ context.Context, node *corev1.Node) (*cloudprovider.InstanceMetadata, error) {
			return &cloudprovider.InstanceMetadata{ProviderID: provider + "://" + node.Name, NodeAddresses: node.Status.Addresses}, nil
		},
	}
}
