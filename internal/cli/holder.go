package cli

import "fmt"

// holder is who listens on a port. The zero pid and uid -1 mean unknown.
type holder struct {
	pid     int
	command string
	uid     int
	user    string
}

// String names the holder as precisely as it is known.
func (h holder) String() string {
	switch {
	case h.pid > 0:
		return fmt.Sprintf("%s (pid %d, user %s)", h.command, h.pid, h.user)
	case h.uid >= 0:
		return fmt.Sprintf("a process of %s (uid %d)", h.user, h.uid)
	}
	return "another process"
}
