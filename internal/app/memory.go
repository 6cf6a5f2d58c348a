package app

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// memoryReserve is the part of the host's memory that sandboxes leave to others:
// one part in this many.
const memoryReserve = 20

// freeMemory asks Linux how much memory sandboxes may still take, or is nil where
// there is nobody to ask.
func freeMemory() func() (int64, error) {
	const path = "/proc/meminfo"
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	return func() (int64, error) {
		raw, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		return parseMemory(raw)
	}
}

var errMemory = errors.New("/proc/meminfo has neither MemTotal nor MemAvailable")

// parseMemory reads /proc/meminfo, whose numbers are KiB.
func parseMemory(raw []byte) (free int64, err error) {
	values := map[string]int64{}
	for line := range bytes.Lines(raw) {
		name, rest, ok := bytes.Cut(line, []byte(":"))
		fields := bytes.Fields(rest)
		if !ok || len(fields) != 2 {
			continue
		}
		if values[string(name)], err = strconv.ParseInt(string(fields[0]), 10, 54); err != nil {
			return 0, fmt.Errorf("read /proc/meminfo: %w", err)
		}
	}
	if values["MemTotal"] <= 0 {
		return 0, errMemory
	}
	if _, ok := values["MemAvailable"]; !ok {
		return 0, errMemory
	}
	return (values["MemAvailable"] - values["MemTotal"]/memoryReserve) << 10, nil
}
