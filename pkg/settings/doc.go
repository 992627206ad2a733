// SPDX-License-Identifier: Apache-2.0

// Package settings turns a Service's annotations into typed Settings. It owns one table with a row per annotation (key,
// parser, what it expects); parsing and its errors come from that table. It must not know Kubernetes clients, nor who
// acts on a setting.
//
// All annotations are parsed before anything is applied, and every error is collected: a Service whose settings are wrong
// keeps its last good state.
package settings
