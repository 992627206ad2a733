// SPDX-License-Identifier: Apache-2.0

// Command hello says whom it runs as, and tries to write.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Println(os.Args[0], os.Getuid(), os.Getgid(), os.WriteFile("/written", nil, 0o644) != nil)
}
