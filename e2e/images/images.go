// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Program is a program that gets an image.
type Program struct {
	// Package is the program's main package, as a path below the root of the tree. Its last element is the program's name.
	Package string
	// Repository is the image's name without a tag, as the manifests have it.
	Repository string
	// User is the user and group that the program runs as unless the pod says otherwise.
	User string
}

func (p Program) name() string { return path.Base(p.Package) }

// file is what the names of the image's files begin with.
func (p Program) file() string { return path.Base(p.Repository) }

// Programs returns the programs that run in a cluster.
func Programs() []Program {
	return []Program{
		{Package: "./cmd/fairlead-cloud-controller-manager", Repository: "fairlead/cloud-controller-manager", User: "65532:65532"},
		// Root without capabilities but for those that its pod is given: Kubernetes gives none to other users.
		{Package: "./cmd/fairlead-announcer", Repository: "fairlead/announcer", User: "0:0"},
	}
}

// Config says what to build.
type Config struct {
	// Root is the root of the tree.
	Root string
	// Out is the directory for the images; it is made if it is not there.
	Out string
	// Tag of the images.
	Tag string
	// Version that the programs say they have.
	Version string
	// Platforms, for example linux/amd64.
	Platforms []string
	// Created is the time of everything in the images.
	Created time.Time
	// Progress, unless nil, gets a line for each image.
	Progress io.Writer
}

// Image is an image that was built.
type Image struct {
	// Reference is the image's name and tag.
	Reference string
	// Layout is the path of an OCI image layout: a directory with one index, of all platforms.
	Layout string
	// Archives are the paths of archives by platform, to load with ctr images import, docker load or podman load.
	Archives map[string]string
	// Materials are the paths of the bills of materials (CycloneDX, JSON) by platform. The images hold the same.
	Materials map[string]string
}

// Build builds the images of the given programs and returns them in the same order. It replaces what an earlier call has
// left in the same directory.
func Build(ctx context.Context, config Config, programs ...Program) ([]Image, error) {
	if len(config.Platforms) == 0 {
		return nil, errors.New("no platform to build images for: expected one such as linux/amd64")
	}
	if err := os.MkdirAll(config.Out, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of the images: %w", err)
	}
	var built []Image
	for _, program := range programs {
		image, err := build(ctx, config, program)
		if err != nil {
			return nil, fmt.Errorf("image %s:%s: %w", program.Repository, config.Tag, err)
		}
		if config.Progress != nil {
			fmt.Fprintf(config.Progress, "%s: %s\n", image.Reference, image.Layout)
		}
		built = append(built, image)
	}
	return built, nil
}

func build(ctx context.Context, config Config, program Program) (Image, error) {
	tag, err := name.NewTag(program.Repository + ":" + config.Tag)
	if err != nil {
		return Image{}, err
	}
	result := Image{
		Reference: tag.String(), Layout: filepath.Join(config.Out, program.file()),
		Archives: map[string]string{}, Materials: map[string]string{},
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, text := range config.Platforms {
		platform, err := v1.ParsePlatform(text)
		if err != nil {
			return Image{}, fmt.Errorf("platform %q: %w", text, err)
		}
		image, materials, err := buildFor(ctx, config, program, *platform)
		if err != nil {
			return Image{}, fmt.Errorf("for %s: %w", text, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})

		base := fmt.Sprintf("%s-%s-%s", result.Layout, platform.OS, platform.Architecture)
		result.Archives[text], result.Materials[text] = base+".tar", base+".cdx.json"
		if err := tarball.WriteToFile(result.Archives[text], tag, image); err != nil {
			return Image{}, fmt.Errorf("write the archive: %w", err)
		}
		if err := os.WriteFile(result.Materials[text], materials, 0o644); err != nil {
			return Image{}, fmt.Errorf("write the bill of materials: %w", err)
		}
	}
	return result, writeLayout(result.Layout, tag, index)
}

// writeLayout writes an OCI image layout with one index in it, named so that both the tools of OCI and containerd find it.
func writeLayout(dir string, tag name.Tag, index v1.ImageIndex) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("replace the image layout: %w", err)
	}
	written, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("write the image layout: %w", err)
	}
	err = written.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": tag.TagStr(),
		"io.containerd.image.name":          "docker.io/" + tag.String(),
	}))
	if err != nil {
		return fmt.Errorf("write the image layout: %w", err)
	}
	return nil
}
