// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/fairlead-io/fairlead/e2e/netnstest"
)

func TestMain(m *testing.M) {
	netnstest.Main(func() { goleak.VerifyTestMain(m) })
}
