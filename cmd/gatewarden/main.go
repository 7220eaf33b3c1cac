// Command gatewarden protects a shared Istio gateway: as an admission webhook, and from
// the command line.
package main

import (
	"os"

	"github.com/gatewarden/gatewarden/pkg/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
