// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"

	"github.com/spf13/cobra"
	cloudprovider "k8s.io/cloud-provider"
	"k8s.io/cloud-provider/app"
	appconfig "k8s.io/cloud-provider/app/config"
	nodecontroller "k8s.io/cloud-provider/controllers/node"
	servicecontroller "k8s.io/cloud-provider/controllers/service"
	"k8s.io/cloud-provider/names"
	"k8s.io/cloud-provider/options"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/featuregate"
	genericcontrollermanager "k8s.io/controller-manager/app"
	genericcontroller "k8s.io/controller-manager/controller"
	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/cloudconfig"
	"github.com/fairlead-io/fairlead/pkg/controller"
	"github.com/fairlead-io/fairlead/provider"
)

// componentName is the name of the lease, the user agent and the event source.
const componentName = "fairlead-cloud-controller-manager"

// What a bare start uses. The limits on requests are far above what the API server of a private cloud answers, so that
// it is the server that limits and not the client.
const (
	concurrentServiceSyncs = 16
	apiQPS                 = 1000
	apiBurst               = 2000
)

// newCommand returns the command of the stock application with presets that make a bare start right.
func newCommand(stop <-chan struct{}) (*cobra.Command, error) {
	opts, err := options.NewCloudControllerManagerOptions()
	if err != nil {
		return nil, fmt.Errorf("making the default options: %w", err)
	}
	opts.KubeCloudShared.CloudProvider.Name = provider.Name
	opts.ServiceController.ConcurrentServiceSyncs = concurrentServiceSyncs
	opts.Generic.ClientConnection.QPS = apiQPS
	opts.Generic.ClientConnection.Burst = apiBurst
	opts.Generic.Debugging.EnableProfiling = false
	opts.Generic.LeaderElection.ResourceName = componentName
	opts.Generic.LeaderElection.ResourceNamespace = cloudconfig.Default().Namespace

	command := app.NewCloudControllerManagerCommand(opts, newCloud, constructors(), names.CCMControllerAliases(),
		cliflag.NamedFlagSets{}, stop)
	command.Use = componentName
	command.Long = "The cloud controller manager of clusters that have no cloud: it initialises nodes and gives Services of type\n" +
		"LoadBalancer addresses that the announcers on the nodes announce."
	// The application sets this flag's default itself, whatever the options say.
	flag := command.Flags().Lookup("configure-cloud-routes")
	flag.DefValue = "false"
	if err := flag.Value.Set("false"); err != nil {
		return nil, fmt.Errorf("presetting --%s: %w", flag.Name, err)
	}
	return command, nil
}

// newCloud implements app.InitCloudFunc, which has no way to return an error.
func newCloud(config *appconfig.CompletedConfig) cloudprovider.Interface {
	cloudConfig, err := cloudconfig.Load(config.ComponentConfig.KubeCloudShared.CloudProvider.CloudConfigFile)
	if err != nil {
		klog.ErrorS(err, "cannot start")
		klog.FlushAndExit(klog.ExitFlushTimeout, 1)
	}
	config.Kubeconfig.Wrap(paceEvents()) // of every client made from here on
	cloud, err := provider.New(cloudConfig, config.Kubeconfig, config.EventRecorder)
	if err != nil {
		klog.ErrorS(err, "cannot start")
		klog.FlushAndExit(klog.ExitFlushTimeout, 1)
	}
	return cloud
}

// starter starts a controller.
type starter func(ctx context.Context, init app.ControllerInitContext, shared genericcontrollermanager.ControllerContext,
	config *appconfig.CompletedConfig, cloud *provider.Cloud) (genericcontroller.Interface, bool, error)

// constructors returns the stock controllers, of which the service controller sees no Service that is somebody else's and
// the node controller is told when the announcer of a node has reported, and our own.
func constructors() map[string]app.ControllerInitFuncConstructor {
	all := maps.Clone(app.DefaultInitFuncConstructors)
	for name, start := range map[string]starter{
		names.CloudNodeController: startNodeController, names.ServiceLBController: startServiceController, controller.Name: startController,
	} {
		init := app.ControllerInitContext{ClientName: controller.Name}
		if stock, ok := all[name]; ok {
			init = stock.InitContext
		}
		all[name] = app.ControllerInitFuncConstructor{InitContext: init, Constructor: overOwnProvider(name, start)}
	}
	return all
}

// overOwnProvider returns what the application calls to have a controller started.
func overOwnProvider(name string, start starter) app.InitFuncConstructor {
	return func(init app.ControllerInitContext, config *appconfig.CompletedConfig, cloud cloudprovider.Interface) app.InitFunc {
		return func(ctx context.Context, shared genericcontrollermanager.ControllerContext) (genericcontroller.Interface, bool, error) {
			own, ok := cloud.(*provider.Cloud)
			if !ok {
				return nil, false, fmt.Errorf("controller %s runs over the provider %s only", name, provider.Name)
			}
			return start(ctx, init, shared, config, own)
		}
	}
}

func startController(ctx context.Context, init app.ControllerInitContext, _ genericcontrollermanager.ControllerContext, config *appconfig.CompletedConfig, own *provider.Cloud) (genericcontroller.Interface, bool, error) {
	c := controller.New(controller.Config{
		Balancers: own.Balancers(),
		Kube:      config.ClientBuilder.ClientOrDie(init.ClientName),
		Client:    own.Client(),
		Objects:   own.Objects().Fairlead().V1alpha1(),
		Informers: config.SharedInformers,
		Namespace: own.Config().Namespace,
		Events:    config.EventRecorder,

		Classless: genericcontrollermanager.IsControllerEnabled(
			names.ServiceLBController, app.ControllersDisabledByDefault, config.ComponentConfig.Generic.Controllers),
		DeadNodeEndpoints: own.Config().Nodes.DeadNodeEndpoints,
	})
	go c.Run(ctx)
	return c, true, nil
}

// startServiceController starts the stock service controller as the application does, but for what it sees, and with a
// client that writes less.
func startServiceController(ctx context.Context, init app.ControllerInitContext, shared genericcontrollermanager.ControllerContext, config *appconfig.CompletedConfig, own *provider.Cloud) (genericcontroller.Interface, bool, error) {
	informers := config.SharedInformers.Core().V1()
	stock, err := servicecontroller.New(own,
		controller.ForStockClient(config.ClientBuilder.ClientOrDie(init.ClientName), informers.Services().Lister(), own.Balancers()),
		controller.ForStock(informers.Services(), own.Balancers()), controller.ForStockServiceNodes(informers.Nodes()),
		config.ComponentConfig.KubeCloudShared.ClusterName, featuregate.NewFeatureGate())
	if err != nil {
		return nil, false, fmt.Errorf("making the service controller: %w", err)
	}
	go stock.Run(ctx, int(config.ComponentConfig.ServiceController.ConcurrentServiceSyncs), shared.ControllerManagerMetrics)
	return nil, true, nil
}

// startNodeController starts the stock node controller as the application does, but for when it looks at a node again.
func startNodeController(ctx context.Context, init app.ControllerInitContext, shared genericcontrollermanager.ControllerContext, config *appconfig.CompletedConfig, own *provider.Cloud) (genericcontroller.Interface, bool, error) {
	settings := config.ComponentConfig
	stock, err := nodecontroller.NewCloudNodeController(
		controller.ForStockNodes(config.SharedInformers.Core().V1().Nodes(), own.Objects().Fairlead().V1alpha1().Announcers()),
		config.ClientBuilder.ClientOrDie(init.ClientName), own,
		settings.NodeStatusUpdateFrequency.Duration, settings.NodeController.ConcurrentNodeSyncs, settings.NodeController.ConcurrentNodeStatusUpdates)
	if err != nil {
		return nil, false, fmt.Errorf("making the node controller: %w", err)
	}
	go stock.RunWithContext(ctx, shared.ControllerManagerMetrics)
	return nil, true, nil
}
