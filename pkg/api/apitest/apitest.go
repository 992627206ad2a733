// SPDX-License-Identifier: Apache-2.0

// Package apitest makes a fake clientset keep the metadata that an API server keeps, for tests of code that relies on it.
// It knows no type of object.
package apitest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ktesting "k8s.io/client-go/testing"
)

// Clientset is a fake one.
type Clientset interface {
	PrependReactor(verb, resource string, reaction ktesting.ReactionFunc)
	Tracker() ktesting.ObjectTracker
}

// KeepMetadata has the clientset give each object that is created a UID, each object that is created or updated a
// resourceVersion higher than all before, and each one whose main resource is updated the next generation; an update of a
// version that is not the latest is refused as a conflict. By itself a fake clientset does none of this, and who compares
// versions takes what an informer brings late for news. A patch leaves the metadata as it is, and is refused too if it names
// a version that is not the latest.
func KeepMetadata(clients Clientset) {
	var last atomic.Int64
	clients.PrependReactor("create", "*", func(action ktesting.Action) (bool, runtime.Object, error) {
		object, err := meta.Accessor(action.(ktesting.CreateAction).GetObject())
		if err != nil {
			return true, nil, err
		}
		version := last.Add(1)
		object.SetUID(types.UID(fmt.Sprint("uid-", version)))
		object.SetResourceVersion(strconv.FormatInt(version, 10))
		return false, nil, nil
	})
	clients.PrependReactor("update", "*", func(action ktesting.Action) (bool, runtime.Object, error) {
		object, err := meta.Accessor(action.(ktesting.UpdateAction).GetObject())
		if err != nil {
			return true, nil, err
		}
		resource := action.GetResource()
		if err := refuse(clients, resource, object.GetNamespace(), object.GetName(), object.GetResourceVersion()); err != nil {
			return true, nil, err
		}
		object.SetResourceVersion(strconv.FormatInt(last.Add(1), 10))
		if action.GetSubresource() == "" {
			object.SetGeneration(object.GetGeneration() + 1)
		}
		return false, nil, nil
	})
	clients.PrependReactor("patch", "*", func(action ktesting.Action) (bool, runtime.Object, error) {
		patch := action.(ktesting.PatchAction)
		version := versionIn(patch.GetPatch())
		if version == "" {
			return false, nil, nil
		}
		err := refuse(clients, patch.GetResource(), patch.GetNamespace(), patch.GetName(), version)
		return err != nil, nil, err
	})
}

// versionIn returns the resourceVersion that a patch names, "" for one of any version, as JSON patches are.
func versionIn(patch []byte) string {
	var named metav1.PartialObjectMetadata
	if json.Unmarshal(patch, &named) != nil {
		return ""
	}
	return named.ResourceVersion
}

// refuse returns a conflict if the stored object is not of the given version.
func refuse(clients Clientset, resource schema.GroupVersionResource, namespace, name, version string) error {
	stored, err := clients.Tracker().Get(resource, namespace, name)
	if apierrors.IsNotFound(err) {
		return nil // there is none to be in conflict with
	}
	if err != nil {
		return err
	}
	latest, err := meta.Accessor(stored)
	if err != nil {
		return err
	}
	if latest.GetResourceVersion() != version {
		return apierrors.NewConflict(resource.GroupResource(), name, errors.New("it was changed since"))
	}
	return nil
}
