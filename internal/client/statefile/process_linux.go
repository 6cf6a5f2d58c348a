package statefile

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// Process returns the boot and the tick in it that the process started at, and
// whether it is there and no zombie.
func Process(pid int) (start string, alive bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", false
	}
	// The name may hold anything, so fields are counted from its closing bracket.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return "", false
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return fields[19], true // starttime is field 22 of the line (proc(5))
	}
	return strings.TrimSpace(string(boot)) + "/" + fields[19], true
}
