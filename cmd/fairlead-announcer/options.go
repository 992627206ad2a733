// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	discoveryv1client "k8s.io/client-go/kubernetes/typed/discovery/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/component-base/version"
	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/announcer"
	"github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned"
	"github.com/fairlead-io/fairlead/pkg/ownership"
)

// options are the flags.
type options struct {
	config        announcer.Config
	kubeconfig    string
	gossipPort    int
	gossipAddress string
	quorum        string
	logging       *logsapi.LoggingConfiguration
}

func (o *options) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.config.NodeName, "node-name", os.Getenv("NODE_NAME"), "name of this node's Node object (default: the environment variable NODE_NAME)")
	fs.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file; empty means the service account of the pod")
	fs.StringVar(&o.config.GossipKeyFile, "gossip-key-file", "", "file with the keys that encrypt gossip: one of 32 bytes in base64 a line, the first encrypts, all decrypt")
	fs.IntVar(&o.gossipPort, "gossip-port", 7946, "UDP and TCP port of gossip; heartbeats use the UDP port after it")
	fs.StringVar(&o.gossipAddress, "gossip-address", "", "address of this node for gossip; empty means the Node's, or that of the interface with the default route")
	fs.StringVar(&o.config.MetricsAddress, "metrics-bind-address", "0.0.0.0:7480", "address and port of /metrics, /healthz and /readyz")
	fs.BoolVar(&o.config.Profiling, "profiling", false, "serve /debug/pprof on the metrics address")
	fs.StringVar(&o.config.KubeProxyHealthz, "kube-proxy-healthz", "http://127.0.0.1:10256/healthz", "health check of kube-proxy on this node; empty if something else does its work")
	fs.StringVar(&o.quorum, "quorum", "majority", "which part of a parted cluster announces: majority, or none for every part")
	fs.BoolVar(&o.config.KeepConnections, "keep-connections", true, "hand packets of connections from before a move on to the node that had the address, by an nftables rule")
	logsapi.AddFlags(o.logging, fs)
}

// complete checks what flags cannot, all at once.
func (o *options) complete() error {
	var errs []error
	if o.config.NodeName == "" {
		errs = append(errs, errors.New("--node-name: must be set, by flag or by the environment variable NODE_NAME"))
	}
	if o.config.GossipKeyFile == "" {
		errs = append(errs, errors.New("--gossip-key-file: must be set"))
	}
	// The port after it is used too.
	if o.gossipPort < 1 || o.gossipPort >= math.MaxUint16 {
		errs = append(errs, fmt.Errorf("--gossip-port %d: must be between 1 and %d", o.gossipPort, math.MaxUint16-1))
	}
	o.config.GossipPort = uint16(o.gossipPort)
	if o.gossipAddress != "" {
		a, err := netip.ParseAddr(o.gossipAddress)
		if err != nil {
			errs = append(errs, fmt.Errorf("--gossip-address %q: must be an IP address", o.gossipAddress))
		}
		o.config.GossipAddress = a
	}
	switch o.quorum {
	case "majority":
		o.config.Quorum = ownership.QuorumMajority
	case "none":
		o.config.Quorum = ownership.QuorumNone
	default:
		errs = append(errs, fmt.Errorf("--quorum %q: must be majority or none", o.quorum))
	}
	o.config.Version = version.Get().GitVersion
	return errors.Join(errs...)
}

// newCommand makes the command, which runs until ctx is done.
func newCommand(ctx context.Context) *cobra.Command {
	o := &options{logging: logsapi.NewLoggingConfiguration()}
	cmd := &cobra.Command{
		Use:     "fairlead-announcer",
		Short:   "Attracts the traffic of LoadBalancer addresses to this node",
		Version: version.Get().String(),
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := logsapi.ValidateAndApply(o.logging, nil); err != nil {
				return err
			}
			if err := o.complete(); err != nil {
				return err
			}
			clients, err := newClients(o.kubeconfig)
			if err != nil {
				return err
			}
			klog.FromContext(ctx).Info("Starting", "version", o.config.Version, "node", o.config.NodeName)
			return announcer.Run(klog.NewContext(ctx, klog.Background()), o.config, clients)
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// newClients makes clients for the API server's real address: KUBERNETES_SERVICE_HOST or the kubeconfig's.
func newClients(kubeconfig string) (announcer.Clients, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return announcer.Clients{}, fmt.Errorf("configuration of the API client: %w", err)
	}
	rest.AddUserAgent(config, "fairlead-announcer")
	// The writers pace themselves; these only bound a fault.
	config.QPS, config.Burst = 100, 200
	fairlead, err := versioned.NewForConfig(config) // JSON, as custom resources know no other form
	if err != nil {
		return announcer.Clients{}, fmt.Errorf("client of %s: %w", config.Host, err)
	}
	forCore := rest.CopyConfig(config)
	forCore.ContentType, forCore.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
	core, err := corev1client.NewForConfig(forCore)
	if err != nil {
		return announcer.Clients{}, fmt.Errorf("client of %s: %w", config.Host, err)
	}
	discovery, err := discoveryv1client.NewForConfig(forCore)
	if err != nil {
		return announcer.Clients{}, fmt.Errorf("client of %s: %w", config.Host, err)
	}
	return announcer.Clients{Fairlead: fairlead, Core: core, Discovery: discovery}, nil
}
