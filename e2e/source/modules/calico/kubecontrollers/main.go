// Command kubecontrollers runs the kube-controllers of this module with the environment of a later release's manifest:
// they exit if ENABLED_CONTROLLERS has a controller that they do not know.
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
)

// The program of the module, and the variable that lists its controllers.
const (
	program  = "/usr/bin/kube-controllers"
	variable = "ENABLED_CONTROLLERS"
)

// added are controllers that the module does not have: "loadbalancer" came with Calico 3.30.
var added = []string{"loadbalancer"}

func main() {
	if list, ok := os.LookupEnv(variable); ok {
		os.Setenv(variable, known(list))
	}
	err := syscall.Exec(program, append([]string{program}, os.Args[1:]...), os.Environ())
	fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
	os.Exit(1)
}

// known is a comma-separated list without the added controllers.
func known(list string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(list, ","), func(name string) bool {
		return slices.Contains(added, strings.TrimSpace(name))
	}), ",")
}
