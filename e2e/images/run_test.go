// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/fairlead-io/fairlead/e2e/images"
)

// extract returns the files of an image.
func extract(t *testing.T, image images.Image) map[string][]byte {
	t.Helper()
	stream := mutate.Extract(archived(t, image))
	defer stream.Close()
	files := map[string][]byte{}
	reader := tar.NewReader(stream)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(reader); err != nil {
			t.Fatal(err)
		}
	}
}

// run runs the entry point of an image with arguments and returns what it prints.
func run(t *testing.T, image images.Image, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range extract(t, image) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o555); err != nil {
			t.Fatal(err)
		}
	}
	file, err := archived(t, image).ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	user, group, _ := strings.Cut(file.Config.User, ":")
	cmd := exec.CommandContext(t.Context(), file.Config.Entrypoint[0], args...)
	cmd.Env, cmd.Dir = file.Config.Env, file.Config.WorkingDir
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir, Credential: &syscall.Credential{Uid: number(t, user), Gid: number(t, group)}}
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", file.Config.Entrypoint[0], args, err, output)
	}
	return string(output)
}

func number(t *testing.T, text string) uint32 {
	t.Helper()
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}
