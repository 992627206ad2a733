// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain checks that stopped labs leave no goroutine behind. klog's flusher belongs to the process.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("k8s.io/klog/v2.(*flushDaemon).run.func1"))
}
