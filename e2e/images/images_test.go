// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-io/fairlead/e2e/images"
)

const root = "../.."

func hello() images.Program {
	return images.Program{Package: "./e2e/images/testdata/hello", Repository: "fairlead/hello", User: "65532:65533"}
}

func built(t *testing.T, program images.Program, platforms ...string) images.Image {
	t.Helper()
	all, err := images.Build(t.Context(), images.Config{
		Root: root, Out: filepath.Join(t.TempDir(), "images"), Tag: "test", Version: "v1.2.3",
		Platforms: platforms, Created: time.Unix(1_800_000_000, 0).UTC(),
	}, program)
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

func TestLayout(t *testing.T) {
	image := built(t, hello(), "linux/amd64", "linux/arm64")
	index, manifest := readLayout(t, image.Layout)
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	want := map[string]string{"org.opencontainers.image.ref.name": "test", "io.containerd.image.name": "docker.io/fairlead/hello:test"}
	if diff := cmp.Diff(want, manifest.Annotations); diff != "" {
		t.Errorf("annotations by which tools find the image (-want +got):\n%s", diff)
	}
	platforms, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for i, architecture := range []string{"amd64", "arm64"} {
		of := platforms.Manifests[i]
		if of.Platform.Architecture != architecture {
			t.Errorf("image %d of the index is for %s, want %s", i, of.Platform.Architecture, architecture)
		}
		one, err := index.Image(of.Digest)
		if err != nil {
			t.Fatal(err)
		}
		file, err := one.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if file.Architecture != architecture || file.OS != "linux" || file.Config.User != "65532:65533" ||
			!cmp.Equal(file.Config.Entrypoint, []string{"/hello"}) {
			t.Errorf("the configuration for %s is %+v", architecture, file)
		}
	}
}

// readLayout returns the only index of a layout, and its descriptor.
func readLayout(t *testing.T, dir string) (v1.ImageIndex, v1.Descriptor) {
	t.Helper()
	outer, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := outer.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 {
		t.Fatalf("the layout lists %d images, want one index of all platforms", len(manifest.Manifests))
	}
	index, err := outer.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return index, manifest.Manifests[0]
}

func TestSameSourcesGiveTheSameBytes(t *testing.T) {
	platform := "linux/" + runtime.GOARCH
	first, second := built(t, hello(), platform), built(t, hello(), platform)
	for _, pair := range [][2]string{
		{first.Archives[platform], second.Archives[platform]},
		{first.Materials[platform], second.Materials[platform]},
		{filepath.Join(first.Layout, "index.json"), filepath.Join(second.Layout, "index.json")},
	} {
		if sum(t, pair[0]) != sum(t, pair[1]) {
			t.Errorf("%s differs from one build to the next", filepath.Base(pair[0]))
		}
	}
}

func sum(t *testing.T, path string) [sha256.Size]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(data)
}

// TestImagesRun runs the programs as a container engine would: in the image's root, as the image's user.
func TestImagesRun(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("another root directory and another user take root")
	}
	output := run(t, built(t, hello(), "linux/"+runtime.GOARCH))
	if want := "/hello 65532 65533 true\n"; output != want {
		t.Errorf("the program said %q, want %q: its path, user, group, and that it cannot write", output, want)
	}
}

// TestUsersAreThoseOfTheManifests compares the user of an image with that of its pod.
func TestUsersAreThoseOfTheManifests(t *testing.T) {
	var deployment appsv1.Deployment
	var daemonSet appsv1.DaemonSet
	readManifest(t, "cloud-controller-manager/deployment.yaml", &deployment)
	readManifest(t, "announcer/daemonset.yaml", &daemonSet)
	pods := []corev1.PodSpec{deployment.Spec.Template.Spec, daemonSet.Spec.Template.Spec}
	want := []string{"65532:65532", "0:0"}
	for i, program := range images.Programs() {
		container := pods[i].Containers[0]
		user := ptr.Deref(container.SecurityContext.RunAsUser, ptr.Deref(pods[i].SecurityContext.RunAsUser, -1))
		if container.Image != program.Repository || program.User != want[i] || !strings.HasPrefix(program.User, fmt.Sprintf("%d:", user)) {
			t.Errorf("image %s runs as %s, and its pod runs %s as %d", program.Repository, program.User, container.Image, user)
		}
	}
}

func readManifest(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "manifests", path))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := bytes.Cut(data, []byte("\n---\n"))
	if err := yaml.UnmarshalStrict(first, into); err != nil {
		t.Fatal(err)
	}
}

// TestProduct looks at the images of the product itself: that they run, and that they list what they are made of.
func TestProduct(t *testing.T) {
	platform := "linux/" + runtime.GOARCH
	for _, program := range images.Programs() {
		image := built(t, program, platform)
		if os.Geteuid() == 0 {
			if output := run(t, image, "--version"); !strings.Contains(output, "v1.2.3") {
				t.Errorf("%s --version said %q, want v1.2.3 in it", program.Package, output)
			}
		}
		data, err := os.ReadFile(image.Materials[platform])
		if err != nil {
			t.Fatal(err)
		}
		bill := cyclonedx.NewBOM()
		if err := cyclonedx.NewBOMDecoder(bytes.NewReader(data), cyclonedx.BOMFileFormatJSON).Decode(bill); err != nil {
			t.Fatal(err)
		}
		if got, want := bill.Metadata.Component.PackageURL, "pkg:golang/github.com/fairlead-io/fairlead@v1.2.3"; got != want {
			t.Errorf("the bill of %s is of %s, want %s", program.Package, got, want)
		}
		listed := map[string]string{}
		for _, component := range *bill.Components {
			listed[component.Name] = component.Version
		}
		for path, version := range required(t, program.Package) {
			if listed[path] != version {
				t.Errorf("%s is linked with %s %s, and the bill of materials says %q", program.Package, path, version, listed[path])
			}
		}
		if embedded := extract(t, image)[filepath.Base(program.Package)+".cdx.json"]; !bytes.Equal(embedded, data) {
			t.Errorf("the bill of materials in the image of %s is not the one beside it", program.Package)
		}
	}
}

// required returns the modules of the packages that a program imports, by the go command's account.
func required(t *testing.T, program string) map[string]string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{if .Version}}{{.Path}} {{.Version}}{{end}}{{end}}", program)
	list.Dir = root
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	output, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]string{}
	for line := range strings.Lines(string(output)) {
		if path, version, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			modules[path] = version
		}
	}
	if len(modules) < 10 {
		t.Fatalf("%s needs %d modules only: the test counts wrong", program, len(modules))
	}
	return modules
}

// archived returns the image in an archive for this machine.
func archived(t *testing.T, image images.Image) v1.Image {
	t.Helper()
	one, err := tarball.ImageFromPath(image.Archives["linux/"+runtime.GOARCH], nil)
	if err != nil {
		t.Fatal(err)
	}
	return one
}
