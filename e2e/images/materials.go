// SPDX-License-Identifier: Apache-2.0

package images

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
)

// module is the path of the product's module.
const module = "github.com/fairlead-io/fairlead"

// billOfMaterials lists the modules that a Go program was built from, as the linker has written them into it, in the form
// of CycloneDX 1.6.
func billOfMaterials(program io.ReaderAt, name, version string, created time.Time) ([]byte, error) {
	info, err := buildinfo.Read(program)
	if err != nil {
		return nil, fmt.Errorf("read what %s was built from: %w", name, err)
	}
	main := component(cyclonedx.ComponentTypeApplication, info.Main.Path, version)
	main.Licenses = &cyclonedx.Licenses{{License: &cyclonedx.License{ID: "Apache-2.0"}}}
	components := []cyclonedx.Component{
		component(cyclonedx.ComponentTypeLibrary, "std", strings.TrimPrefix(info.GoVersion, "go")),
	}
	for _, dependency := range info.Deps {
		used := replacement(dependency)
		components = append(components, component(cyclonedx.ComponentTypeLibrary, used.Path, used.Version))
	}
	needed := make([]string, 0, len(components))
	for _, c := range components {
		needed = append(needed, c.BOMRef)
	}
	bill := cyclonedx.NewBOM()
	bill.Metadata = &cyclonedx.Metadata{Timestamp: created.UTC().Format(time.RFC3339), Component: &main}
	bill.Metadata.Properties = settings(info)
	bill.Components = &components
	bill.Dependencies = &[]cyclonedx.Dependency{{Ref: main.BOMRef, Dependencies: &needed}}

	var encoded bytes.Buffer
	encoder := cyclonedx.NewBOMEncoder(&encoded, cyclonedx.BOMFileFormatJSON).SetPretty(true)
	if err := encoder.EncodeVersion(bill, cyclonedx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("write the bill of materials of %s: %w", name, err)
	}
	return encoded.Bytes(), nil
}

// replacement returns the module that was used, where go.mod replaces one.
func replacement(dependency *debug.Module) *debug.Module {
	if dependency.Replace != nil {
		return dependency.Replace
	}
	return dependency
}

func component(kind cyclonedx.ComponentType, path, version string) cyclonedx.Component {
	// The type golang of package URLs writes paths in lower case, and the plus sign is written in percent.
	url := "pkg:golang/" + strings.ToLower(path) + "@" + strings.ReplaceAll(version, "+", "%2B")
	return cyclonedx.Component{BOMRef: url, Type: kind, Name: path, Version: version, PackageURL: url}
}

// settings returns how the program was built: platform and flags.
func settings(info *debug.BuildInfo) *[]cyclonedx.Property {
	var properties []cyclonedx.Property
	for _, setting := range info.Settings {
		properties = append(properties, cyclonedx.Property{Name: "go:build:" + setting.Key, Value: setting.Value})
	}
	return &properties
}
