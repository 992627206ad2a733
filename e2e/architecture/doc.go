// SPDX-License-Identifier: Apache-2.0

// Package architecture holds the rules of the repository as tests: which package may know which, how source files look,
// and that documents tell the truth about the tree. It has no code of its own and starts nothing. A test that fails says
// what the rule is for.
package architecture
