// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"reflect"
	"slices"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// setAnnounce brings up to date how a VirtualIP is announced, and by whom. before is what its Services wished before the
// change that is being made: where they preferred other zones, the candidates are chosen anew.
func (r *Reconciler) setAnnounce(spec *v1alpha1.VirtualIPSpec, before settings.AddressSettings) error {
	want := wishes(spec)
	announce, err := r.announce(spec, want, before)
	if err != nil {
		return err
	}
	spec.Announce = announce
	current := spec.Candidates
	if !slices.Equal(want.Zones, before.Zones) {
		current = nil
	}
	r.setCandidates(spec, current)
	return nil
}

// announce returns how an address is announced. Where its pool is gone, it stays as it is as long as the wishes do.
func (r *Reconciler) announce(spec *v1alpha1.VirtualIPSpec, want, before settings.AddressSettings) ([]v1alpha1.Announcement, error) {
	base := []v1alpha1.Announcement{{L2: &v1alpha1.L2Announcement{}}}
	switch pool := r.pool(spec.Pool); {
	case pool != nil && len(spec.Announce) > 0 && len(announceErrors(pool)) > 0:
		return spec.Announce, nil // what the pool says cannot be read; its condition tells
	case pool != nil:
		base = pool.Spec.Announce
	case len(spec.Announce) == 0:
	case reflect.DeepEqual(want, before):
		return spec.Announce, nil
	case reflect.DeepEqual(before, settings.AddressSettings{}):
		base = spec.Announce
	}
	return resolve(base, want)
}
