// SPDX-License-Identifier: Apache-2.0

// Command fairlead-cloud-controller-manager runs the stock controllers of k8s.io/cloud-provider over Fairlead's provider,
// and beside them the controller that heals what they miss.
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
	"k8s.io/klog/v2"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	command, err := newCommand(ctx.Done())
	if err != nil {
		klog.ErrorS(err, "making the command")
		klog.FlushAndExit(klog.ExitFlushTimeout, 1)
	}
	code := cli.Run(command)
	stop()
	os.Exit(code)
}
