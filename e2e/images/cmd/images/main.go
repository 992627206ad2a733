// SPDX-License-Identifier: Apache-2.0

// Command images builds the container images of the programs that run in a cluster: for each an OCI image layout of all
// platforms, and for each platform an archive to load and a bill of materials.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/fairlead-io/fairlead/e2e/images"
	"github.com/fairlead-io/fairlead/e2e/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	config := images.Config{Progress: os.Stdout}
	flag.StringVar(&config.Out, "out", "bin/images", "directory for the images")
	flag.StringVar(&config.Tag, "tag", "dev", "tag of the images")
	flag.StringVar(&config.Version, "version", "dev", "version that the programs say they have")
	platforms := flag.String("platforms", "linux/amd64,linux/arm64", "platforms, separated by commas")
	created := flag.Int64("created", 0, "time of everything in the images, in seconds since 1970")
	flag.Parse()
	config.Platforms, config.Created = strings.Split(*platforms, ","), time.Unix(*created, 0).UTC()

	var err error
	if config.Root, err = lab.FindRoot(); err != nil {
		return err
	}
	_, err = images.Build(ctx, config, images.Programs()...)
	return err
}
