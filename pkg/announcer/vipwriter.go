// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// vipPatcher is the one call of the typed client that the writer needs.
type vipPatcher interface {
	Patch(ctx context.Context, name string, pt types.PatchType, data []byte, opts metav1.PatchOptions, subresources ...string) (*v1alpha1.VirtualIP, error)
}

// vipGetter is the lister's Get: it returns the object as last seen.
type vipGetter interface {
	Get(name string) (*v1alpha1.VirtualIP, error)
}

const (
	// statusWriters is how many writes may be under way.
	statusWriters = 4
	// statusWritesPerSecond of one node, beyond statusBurst at once. A write waits for its turn where a status says what is not
	// true any more; a first one takes a turn that is free.
	statusWritesPerSecond = 20
	statusBurst           = 40
	// firstWritesPerSecond, beyond firstBurst at once, where a status says nothing yet and more addresses have come in the
	// last arrivalRest: of Services made by the hundred, whose own writes the API server shall do first. A conflict does
	// not wait: the Service needs another address.
	firstWritesPerSecond = 2
	firstBurst           = 8
	arrivalRest          = 2 * time.Second
	// firstPause is the least that such a write waits for its next chance, jittered by half of it. The pauses grow with the
	// number of those that wait, so that they ask chancesPerSecond times a second.
	firstPause       = time.Second
	chancesPerSecond = 50
	// outrankedPause, jittered by half of it, is how long the name of a node with a claim no lower than this node's stands.
	// Where gossip does not get through, two nodes announce for as long as that lasts, and must not write against each other
	// all the time; but the other one may have died without a word.
	outrankedPause = 5 * time.Minute
	// statusTimeout of one write.
	statusTimeout = 5 * time.Second
)

// vipWriter brings VirtualIP.status into line with what this node last said of each address. However often that
// changes, an address waits at most once and the latest is what gets written; failed writes are repeated with a growing
// pause. Its methods never wait for the API server.
type vipWriter struct {
	self    string
	client  vipPatcher
	lister  vipGetter
	queue   workqueue.TypedRateLimitingInterface[string]
	pace    flowcontrol.RateLimiter
	first   flowcontrol.RateLimiter
	metrics *agentMetrics
	now     func() time.Time

	mu      sync.Mutex
	facts   map[string]vipFacts
	waiting map[string]bool // first writes that had no turn when they last asked
	arrived time.Time       // when there was last something to say of an address for the first time
}

func newVIPWriter(self string, client vipPatcher, lister vipGetter, m *agentMetrics) *vipWriter {
	backoff := workqueue.NewTypedItemExponentialFailureRateLimiter[string](100*time.Millisecond, 15*time.Second)
	return &vipWriter{
		self: self, client: client, lister: lister, metrics: m, now: time.Now,
		queue:   workqueue.NewTypedRateLimitingQueue(backoff),
		pace:    flowcontrol.NewTokenBucketRateLimiter(statusWritesPerSecond, statusBurst),
		first:   flowcontrol.NewTokenBucketRateLimiter(firstWritesPerSecond, firstBurst),
		facts:   map[string]vipFacts{},
		waiting: map[string]bool{},
	}
}

// say replaces what this node has to say of the object, and has it written after the delay.
func (w *vipWriter) say(name string, f vipFacts, delay time.Duration) {
	w.mu.Lock()
	if _, known := w.facts[name]; !known {
		w.arrived = w.now()
	}
	w.facts[name] = f
	w.mu.Unlock()
	w.queue.AddAfter(name, delay)
}

// check has the object looked at if what it says is not what this node has to say.
func (w *vipWriter) check(vip *v1alpha1.VirtualIP) {
	switch patch, err := w.patch(vip); {
	case err == nil && patch == nil:
	case w.outranked(vip):
		w.queue.AddAfter(vip.Name, outrankedPause/2+rand.N(outrankedPause))
	default:
		w.queue.Add(vip.Name)
	}
}

// outranked tells whether the status names another node, with a claim no lower than that of this node, which announces too.
func (w *vipWriter) outranked(vip *v1alpha1.VirtualIP) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	f, s := w.facts[vip.Name], vip.Status
	return f.announcing && s.Node != "" && s.Node != w.self && s.Term >= f.term
}

// forget drops an object that exists no more.
func (w *vipWriter) forget(name string) {
	w.mu.Lock()
	delete(w.facts, name)
	delete(w.waiting, name)
	w.mu.Unlock()
	w.queue.Forget(name)
}

func (w *vipWriter) patch(vip *v1alpha1.VirtualIP) ([]byte, error) {
	w.mu.Lock()
	f, known := w.facts[vip.Name]
	w.mu.Unlock()
	if !known {
		return nil, nil
	}
	return statusPatch(vip, desiredStatus(w.self, vip.Status, f, w.now()))
}

// run writes until ctx is done, then ends its workers and returns.
func (w *vipWriter) run(ctx context.Context) {
	var workers sync.WaitGroup
	for range statusWriters {
		workers.Go(func() {
			for w.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	w.queue.ShutDown()
	workers.Wait()
}

func (w *vipWriter) next(ctx context.Context) bool {
	name, quit := w.queue.Get()
	if quit {
		return false
	}
	defer w.queue.Done(name)
	if err := w.write(ctx, name); err != nil {
		w.metrics.statusWrites.WithLabelValues("error").Inc()
		klog.FromContext(ctx).V(2).Info("Status not written, trying again", "virtualIP", name, "err", err)
		w.queue.AddRateLimited(name)
		return true
	}
	w.queue.Forget(name)
	return true
}

// write sends one patch, if one is needed.
func (w *vipWriter) write(ctx context.Context, name string) error {
	waited := w.takeWaiting(name)
	vip, err := w.lister.Get(name)
	if err != nil {
		return ignoreNotFound(err)
	}
	if !waited { // whether there is something to write takes a while to find out, and has been of what waited
		if patch, err := w.patch(vip); err != nil || patch == nil {
			return err
		}
	}
	if taken, err := w.takeTurn(ctx, vip); err != nil {
		return err
	} else if !taken {
		pause := w.untilChance(name)
		w.queue.AddAfter(name, pause/2+rand.N(pause))
		return nil
	}
	return w.send(ctx, vip.Name)
}

// takeTurn waits for a turn to write, but a first write only takes one that is free.
func (w *vipWriter) takeTurn(ctx context.Context, vip *v1alpha1.VirtualIP) (taken bool, err error) {
	w.mu.Lock()
	first := vip.Status.Node == "" && len(vip.Status.Conditions) == 0 && w.facts[vip.Name].conflict == ""
	arriving := w.now().Sub(w.arrived) < arrivalRest
	w.mu.Unlock()
	switch {
	case !first:
		return true, w.pace.Wait(ctx)
	case arriving:
		return w.first.TryAccept(), nil
	}
	return w.pace.TryAccept(), nil
}

// takeWaiting takes the object out of those that wait, and reports whether it was among them.
func (w *vipWriter) takeWaiting(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	waited := w.waiting[name]
	delete(w.waiting, name)
	return waited
}

// untilChance counts the object among those that wait, and returns how long.
func (w *vipWriter) untilChance(name string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting[name] = true
	return max(firstPause, time.Duration(len(w.waiting))*time.Second/chancesPerSecond)
}

// send computes the patch anew, for much may have changed while it waited for its turn.
func (w *vipWriter) send(ctx context.Context, name string) error {
	vip, err := w.lister.Get(name)
	if err != nil {
		return ignoreNotFound(err)
	}
	patch, err := w.patch(vip)
	if err != nil || patch == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	if _, err := w.client.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		return ignoreNotFound(fmt.Errorf("patch status of VirtualIP %s: %w", name, err))
	}
	w.metrics.statusWrites.WithLabelValues("ok").Inc()
	return nil
}

// flush writes what the named objects still need, one after the other, until done or ctx ends. It is for the end of
// the agent, after run has returned, and does not pace itself.
func (w *vipWriter) flush(ctx context.Context, names []string) error {
	var errs []error
	for _, n := range names {
		if ctx.Err() != nil {
			return errors.Join(append(errs, ctx.Err())...)
		}
		if err := w.send(ctx, n); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
