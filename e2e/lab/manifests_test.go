// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplitDocumentsOrdersThem(t *testing.T) {
	const stream = `apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: s}
---
# nothing but a comment
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: c}
---
apiVersion: v1
kind: Namespace
metadata: {name: space}
`
	docs, err := splitDocuments([]byte(stream))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range docs {
		got = append(got, d.kind+"/"+d.name)
	}
	if diff := cmp.Diff([]string{"Namespace/space", "CustomResourceDefinition/c", "ServiceAccount/s", "Deployment/d"}, got); diff != "" {
		t.Error(diff)
	}
	if !docs[3].isWorkload() || docs[0].isWorkload() {
		t.Error("the Deployment is a workload, the Namespace is not")
	}
}
