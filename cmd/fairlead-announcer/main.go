// SPDX-License-Identifier: Apache-2.0

// Command fairlead-announcer is the agent that runs on every node and attracts the traffic of LoadBalancer addresses.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // metrics of requests to the API server
	_ "k8s.io/component-base/metrics/prometheus/version"  // build_info
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	code := cli.Run(newCommand(ctx))
	stop()
	os.Exit(code)
}
