// SPDX-License-Identifier: Apache-2.0

// Package settings turns a Service's annotations into typed Settings. It owns one table with a row per annotation: its
// key and the other spellings of it, what it takes, its default, what it does. Parsing, errors, warnings and
// docs/annotations.md come from that table. It must not know Kubernetes clients, nor who acts on a setting.
//
// Annotations come in dialects: Fairlead's own under fairlead.dev/, and those that manifests bring along from elsewhere.
// All end in the same Settings; nothing behind this package knows which spelling was used.
//
// All annotations are parsed before anything is applied, and every error is collected: a Service whose settings are wrong
// keeps its last good state. What is understood and has no effect here is no error but a Warning.
package settings
