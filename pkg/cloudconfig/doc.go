// SPDX-License-Identifier: Apache-2.0

// Package cloudconfig reads the file behind --cloud-config: strict decoding, defaults, validation. It owns the format
// config.fairlead.dev/v1alpha1, kind CloudConfig, and must not know who uses which field.
//
// The file is read once, at start. An unknown field, a wrong type and every value out of range are errors that name the
// field by its path; all of them are reported at once.
package cloudconfig
