package article

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/outcrop/outcrop/conformance/netns"
)

// packagesVariable is what was installed for the process inside, where there are package
// indexes.
const packagesVariable = "OUTCROP_TEST_PACKAGES"

// name leads names to this machine, as further lines of the hosts file: it has no
// wildcards, and every program reads it anew.
func name(names ...string) error {
	f, err := os.OpenFile(netns.Hosts, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "127.0.0.1 %s\n", strings.Join(names, " "))
	return errors.Join(err, f.Close())
}
