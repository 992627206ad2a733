// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"fmt"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	cloudprovider "k8s.io/cloud-provider"

	"github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned"
	"github.com/fairlead-io/fairlead/pkg/api/client/informers/externalversions"
	"github.com/fairlead-io/fairlead/pkg/cloudconfig"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// Name is the provider's name, and the scheme of the provider IDs it gives.
const Name = "fairlead"

// Cloud is the cloudprovider.Interface. Once the process leads, the framework calls Initialize and SetInformers, in this
// order, and asks for LoadBalancer and InstancesV2 after that.
type Cloud struct {
	config    *cloudconfig.Config
	client    versioned.Interface
	events    record.EventRecorder
	objects   externalversions.SharedInformerFactory
	balancers *loadbalancer.Reconciler
	instances *instances
	stop      <-chan struct{}
}

var (
	_ cloudprovider.Interface    = &Cloud{}
	_ cloudprovider.InformerUser = &Cloud{}
)

// New returns the provider. restConfig reaches the API server; the client of Fairlead's objects speaks JSON, the only
// format that custom resources can be written in, whatever restConfig says. events takes warnings about Services.
func New(config *cloudconfig.Config, restConfig *rest.Config, events record.EventRecorder) (*Cloud, error) {
	asJSON := rest.CopyConfig(restConfig)
	asJSON.ContentType = "application/json"
	asJSON.AcceptContentTypes = "application/json"
	client, err := versioned.NewForConfig(asJSON)
	if err != nil {
		return nil, fmt.Errorf("making the client of Fairlead's objects: %w", err)
	}
	return &Cloud{
		config: config, client: client, events: events, objects: externalversions.NewSharedInformerFactory(client, 0),
	}, nil
}

// Initialize implements cloudprovider.Interface.
func (c *Cloud) Initialize(_ cloudprovider.ControllerClientBuilder, stop <-chan struct{}) {
	c.stop = stop
}

// SetInformers implements cloudprovider.InformerUser. Fairlead's own informers start here; those of the framework are
// asked for here, and started by it after every controller has asked.
func (c *Cloud) SetInformers(factory informers.SharedInformerFactory) {
	c.balancers = loadbalancer.New(loadbalancer.Config{
		Client:         c.client,
		Objects:        c.objects.Fairlead().V1alpha1(),
		Nodes:          factory.Core().V1().Nodes(),
		Services:       factory.Core().V1().Services(),
		Namespaces:     factory.Core().V1().Namespaces(),
		EndpointSlices: factory.Discovery().V1().EndpointSlices(),
		Rules: loadbalancer.NodeRules{
			IgnoreExcludeLabel: c.config.Nodes.ExcludeLabel == cloudconfig.ExcludeLabelIgnore,
			LeaveOnCordon:      c.config.Nodes.LeaveOnCordon,
		},
		Settings: settingsConfig(c.config.Settings),
		Events:   c.events,
	})
	c.instances = &instances{config: c.config, announcers: c.objects.Fairlead().V1alpha1().Announcers().Lister()}
	c.objects.Start(c.stop)
}

// settingsConfig says to the parser of annotations what the cloud config says of them.
func settingsConfig(from cloudconfig.Settings) settings.Config {
	config := settings.Config{
		AddressTypes: from.AddressTypes, DefaultAddressType: from.DefaultAddressType, AccessLists: from.AccessLists,
	}
	for _, dialect := range from.DisabledDialects {
		config.Disabled = append(config.Disabled, settings.Dialect(dialect))
	}
	return config
}

// Balancers returns the reconcile function that the level-triggered controller shares with EnsureLoadBalancer. It is nil
// before SetInformers.
func (c *Cloud) Balancers() *loadbalancer.Reconciler { return c.balancers }

// Client returns the client of Fairlead's objects.
func (c *Cloud) Client() versioned.Interface { return c.client }

// Objects returns the informers of Fairlead's objects.
func (c *Cloud) Objects() externalversions.SharedInformerFactory { return c.objects }

// Config returns the cloud config.
func (c *Cloud) Config() *cloudconfig.Config { return c.config }

// LoadBalancer implements cloudprovider.Interface.
func (c *Cloud) LoadBalancer() (cloudprovider.LoadBalancer, bool) {
	return loadBalancers{c.balancers}, true
}

// InstancesV2 implements cloudprovider.Interface.
func (c *Cloud) InstancesV2() (cloudprovider.InstancesV2, bool) { return c.instances, true }

// Instances implements cloudprovider.Interface: it is superseded by InstancesV2.
func (c *Cloud) Instances() (cloudprovider.Instances, bool) { return nil, false }

// Zones implements cloudprovider.Interface: InstancesV2 tells zones.
func (c *Cloud) Zones() (cloudprovider.Zones, bool) { return nil, false }

// Clusters implements cloudprovider.Interface: there are none.
func (c *Cloud) Clusters() (cloudprovider.Clusters, bool) { return nil, false }

// Routes implements cloudprovider.Interface: the cluster's network plugin makes routes.
func (c *Cloud) Routes() (cloudprovider.Routes, bool) { return nil, false }

// ProviderName implements cloudprovider.Interface.
func (c *Cloud) ProviderName() string { return Name }

// HasClusterID implements cloudprovider.Interface.
func (c *Cloud) HasClusterID() bool { return true }
