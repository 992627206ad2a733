// SPDX-License-Identifier: Apache-2.0

package images

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// content is a file of an image. All belong to root, and nobody may write them.
type content struct {
	name string
	mode int64
	data []byte
}

// buildFor returns the image of a program for one platform, and its bill of materials.
func buildFor(ctx context.Context, config Config, program Program, platform v1.Platform) (v1.Image, []byte, error) {
	binary, err := compile(ctx, config, program, platform)
	if err != nil {
		return nil, nil, err
	}
	materials, err := billOfMaterials(bytes.NewReader(binary), program.name(), config.Version, config.Created)
	if err != nil {
		return nil, nil, err
	}
	licence, err := os.ReadFile(filepath.Join(config.Root, "LICENSE"))
	if err != nil {
		return nil, nil, fmt.Errorf("read the licence: %w", err)
	}
	// The program changes with every build, the rest hardly ever: two layers.
	var layers []v1.Layer
	for _, files := range [][]content{
		{{"LICENSE", 0o444, licence}, {program.name() + ".cdx.json", 0o444, materials}},
		{{program.name(), 0o555, binary}},
	} {
		layer, err := layerOf(files, config.Created)
		if err != nil {
			return nil, nil, err
		}
		layers = append(layers, layer)
	}
	image, err := assemble(config, program, platform, layers)
	return image, materials, err
}

// compile returns a static program.
func compile(ctx context.Context, config Config, program Program, platform v1.Platform) ([]byte, error) {
	dir, err := os.MkdirTemp(config.Out, "build-")
	if err != nil {
		return nil, fmt.Errorf("make a directory to build in: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it stays behind beside the images, where anybody sees it
	target := filepath.Join(dir, program.name())
	flags := "-s -w -X k8s.io/component-base/version.gitVersion=" + config.Version
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", target, program.Package)
	build.Dir = config.Root
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOOS="+platform.OS, "GOARCH="+platform.Architecture)
	if output, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build %s: %w: %s", program.Package, err, bytes.TrimSpace(output))
	}
	return os.ReadFile(target)
}

// layerOf returns a layer of files in the root directory.
func layerOf(files []content, modified time.Time) (v1.Layer, error) {
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	for _, file := range files {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: file.name, Mode: file.mode, Size: int64(len(file.data)),
			ModTime: modified, Format: tar.FormatUSTAR,
		}
		if err := writer.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("add %s to a layer: %w", file.name, err)
		}
		if _, err := writer.Write(file.data); err != nil {
			return nil, fmt.Errorf("add %s to a layer: %w", file.name, err)
		}
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("end a layer: %w", err)
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}

func assemble(config Config, program Program, platform v1.Platform, layers []v1.Layer) (v1.Image, error) {
	created := v1.Time{Time: config.Created}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, layer := range layers {
		var err error
		image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{Created: created, CreatedBy: "make images"}})
		if err != nil {
			return nil, fmt.Errorf("add a layer: %w", err)
		}
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the image's configuration: %w", err)
	}
	file = file.DeepCopy()
	file.Created, file.OS, file.Architecture, file.Variant = created, platform.OS, platform.Architecture, platform.Variant
	file.Config = v1.Config{
		Entrypoint: []string{"/" + program.name()},
		User:       program.User,
		WorkingDir: "/",
		Labels: map[string]string{
			"org.opencontainers.image.title":    program.name(),
			"org.opencontainers.image.version":  config.Version,
			"org.opencontainers.image.licenses": "Apache-2.0",
			"org.opencontainers.image.source":   "https://" + module,
		},
	}
	return mutate.ConfigFile(image, file)
}
