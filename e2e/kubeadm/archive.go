// SPDX-License-Identifier: Apache-2.0

package kubeadm

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"time"
)

// image is a container image of one layer: files of this machine under other names.
type image struct {
	reference  string            // with the tag
	files      map[string]string // path in the image to path here
	entrypoint []string
}

// pack writes the image as an archive that `ctr images import` reads, unless target is newer than all that goes in.
func (i image) pack(target string) error {
	if fresh, err := i.fresh(target); fresh || err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return fmt.Errorf("make the directory of the images: %w", err)
	}
	layer, err := os.CreateTemp(filepath.Dir(target), "layer-")
	if err != nil {
		return fmt.Errorf("pack image %s: %w", i.reference, err)
	}
	defer os.Remove(layer.Name())
	defer layer.Close()
	sum := sha256.New()
	if err := i.writeLayer(io.MultiWriter(layer, sum)); err != nil {
		return fmt.Errorf("pack image %s: %w", i.reference, err)
	}
	if err := i.writeArchive(target+".partial", layer, fmt.Sprintf("sha256:%x", sum.Sum(nil))); err != nil {
		return fmt.Errorf("pack image %s: %w", i.reference, err)
	}
	return os.Rename(target+".partial", target)
}

func (i image) fresh(target string) (bool, error) {
	packed, err := os.Stat(target)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, source := range i.files {
		info, err := os.Stat(source)
		if err != nil {
			return false, fmt.Errorf("pack image %s: %w", i.reference, err)
		}
		if info.ModTime().After(packed.ModTime()) {
			return false, nil
		}
	}
	return true, nil
}

func (i image) writeLayer(to io.Writer) error {
	archive := tar.NewWriter(to)
	made := map[string]bool{".": true, "/": true}
	for name, source := range i.files {
		if err := makeParents(archive, made, path.Dir(name)); err != nil {
			return err
		}
		data, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(data)), Format: tar.FormatPAX}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(data); err != nil {
			return err
		}
	}
	// Programs expect a directory for temporary files.
	if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}); err != nil {
		return err
	}
	return archive.Close()
}

func makeParents(archive *tar.Writer, made map[string]bool, dir string) error {
	if made[dir] {
		return nil
	}
	if err := makeParents(archive, made, path.Dir(dir)); err != nil {
		return err
	}
	made[dir] = true
	return archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755})
}

// writeArchive writes what `docker save` would.
func (i image) writeArchive(target string, layer *os.File, diffID string) error {
	type object = map[string]any
	config, err := json.Marshal(object{
		"architecture": runtime.GOARCH, "os": "linux", "created": time.Unix(0, 0).UTC(),
		"config": object{
			"Entrypoint": i.entrypoint, "Env": []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		},
		"rootfs": object{"type": "layers", "diff_ids": []string{diffID}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]object{{"Config": "config.json", "RepoTags": []string{i.reference}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	file, err := os.Create(target)
	if err != nil {
		return err
	}
	defer file.Close()
	size, err := layer.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := layer.Seek(0, io.SeekStart); err != nil {
		return err
	}
	archive := tar.NewWriter(file)
	for _, member := range []struct {
		name    string
		size    int64
		content io.Reader
	}{
		{"config.json", int64(len(config)), bytes.NewReader(config)},
		{"layer.tar", size, layer},
		{"manifest.json", int64(len(manifest)), bytes.NewReader(manifest)},
	} {
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: member.name, Mode: 0o644, Size: member.size}); err != nil {
			return err
		}
		if _, err := io.Copy(archive, member.content); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), file.Close())
}
