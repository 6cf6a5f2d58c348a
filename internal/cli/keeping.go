package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// SessionOptions say how a server keeps its sessions. A zero one leaves it to
// the server.
type SessionOptions struct {
	// HibernateAfter is how long a session is idle before it hibernates; less
	// than 0: only to make room.
	HibernateAfter time.Duration
	// KeepHibernated is how long it may hibernate beyond its idle timeout.
	KeepHibernated time.Duration
	// SnapshotLife is how long sessions are restored from one snapshot.
	SnapshotLife time.Duration
	// Memory bounds one session, and CPUs. MaxMemory bounds what all sandboxes use,
	// Snapshots each kind of snapshots on the disk, and Storage one session's
	// directory. All but CPUs are in bytes.
	Memory, MaxMemory, Snapshots, Storage int64
	CPUs                                  float64
	// Spares are kept ready for each agent, as far as SpareMemory goes, in bytes.
	Spares      int
	SpareMemory int64
}

// register adds the flags of a server's sessions.
func (o *SessionOptions) register(fs *pflag.FlagSet) {
	fs.Var((*pause)(&o.HibernateAfter), "hibernate-after", "`time` that a session is idle before its memory is given back; off: only to make room (default 5m)")
	spanVar(fs, &o.KeepHibernated, "keep-hibernated", 0, "`time` that a hibernating session is kept, if that is longer than its idle timeout")
	spanVar(fs, &o.SnapshotLife, "snapshot-life", 0, "`time` that sessions are restored from one snapshot of their version (default 24h)")
	fs.Var((*byteSize)(&o.Snapshots), "snapshot-disk", "most `bytes` on the disk for snapshots of versions, and for hibernating sessions (default 16GiB each)")
	fs.Var((*byteSize)(&o.MaxMemory), "max-memory", "start no session beyond so many `bytes` of memory in use by all (default: what the host has free)")
	fs.Var((*byteSize)(&o.Memory), "session-memory", "most `bytes` of memory for one session (default 8GiB, or three quarters of the machine's)")
	fs.Var((*processors)(&o.CPUs), "session-cpus", "most `processors` for one session, such as 0.5 (default 2)")
	fs.Var((*byteSize)(&o.Storage), "session-storage", "most `bytes` for one session's storage (default 1GiB)")
	fs.IntVar(&o.Spares, "spares", 0, "`number` of guests of each agent that are kept restored and ready for its next sessions (default none)")
	fs.Var((*byteSize)(&o.SpareMemory), "spare-memory", "most `bytes` of memory for all spares (default 1GiB)")
}

// leastMemory is less than any agent needs, in bytes, and leastForAll is what a sandbox
// is taken to use before it was measured: below it none is ever started.
const leastMemory, leastForAll = 64 << 20, 128 << 20

// check refuses what cannot be meant.
func (o *SessionOptions) check() error {
	switch {
	case o.Memory > 0 && o.Memory < leastMemory:
		return misuse("--session-memory %s is too little for any agent; it must be at least %s", (*byteSize)(&o.Memory), size(leastMemory))
	case o.MaxMemory > 0 && o.MaxMemory < leastForAll:
		return misuse("--max-memory %s is too little for a single session; it must be at least %s, or be left out for what the host has free", (*byteSize)(&o.MaxMemory), size(leastForAll))
	case o.SpareMemory > 0 && o.SpareMemory < leastForAll:
		return misuse("--spare-memory %s is too little for a single spare; it must be at least %s", (*byteSize)(&o.SpareMemory), size(leastForAll))
	case o.Spares < 0:
		return misuse("--spares must not be less than 0")
	case o.KeepHibernated < 0:
		return misuse("--keep-hibernated must not be less than 0s")
	case o.SnapshotLife < 0:
		return misuse("--snapshot-life must not be less than 0s")
	case o.SpareMemory > 0 && o.Spares == 0:
		return misuse("--spare-memory bounds spares, and there are none; add --spares 1")
	}
	return nil
}

// pause is a duration that can be off, which is less than 0.
type pause time.Duration

func (p *pause) String() string {
	switch {
	case *p == 0:
		return ""
	case *p < 0:
		return "off"
	}
	return time.Duration(*p).String()
}

func (p *pause) Set(text string) error {
	if text == "off" {
		*p = -1
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is neither a time, such as 90s or 10m, nor off", text)
	}
	*p = pause(d)
	return nil
}

func (*pause) Type() string { return "time" }

// timeSpan is a length of time.
type timeSpan time.Duration

func (s *timeSpan) String() string {
	if *s == 0 {
		return ""
	}
	return inUnits(time.Duration(*s))
}

// Set reads 90s, 10m or 1h30m, as time.ParseDuration does, and 7d.
func (s *timeSpan) Set(text string) error {
	var d age
	if strings.HasSuffix(text, "d") && d.Set(text) == nil {
		*s = timeSpan(d)
		return nil
	}
	t, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is no time, such as 90s, 10m or 24h", text)
	}
	*s = timeSpan(t)
	return nil
}

func (*timeSpan) Type() string { return "duration" }

// spanVar adds a flag for a length of time.
func spanVar(fs *pflag.FlagSet, to *time.Duration, name string, value time.Duration, usage string) {
	*to = value
	fs.Var((*timeSpan)(to), name, usage)
}

// The bounds of a session's processors.
const leastProcessors, mostProcessors = 0.01, 1024

// processors is a number of them, and parts of one.
type processors float64

func (n *processors) String() string {
	if *n == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(*n), 'g', -1, 64)
}

// Set reads 2 or 0.5. There is no "without a bound": 0 is refused, as for memory.
func (n *processors) Set(text string) error {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= leastProcessors && f <= mostProcessors) {
		return fmt.Errorf("%q is no number of processors from %v to %v; leave the flag out for the default, 2", text, leastProcessors, mostProcessors)
	}
	*n = processors(f)
	return nil
}

func (*processors) Type() string { return "processors" }

// byteSize is a number of bytes, with or without a unit.
type byteSize int64

func (b *byteSize) String() string {
	if *b == 0 {
		return ""
	}
	return size(int64(*b))
}

// Set reads 512MiB, 1.5G or 1073741824; all units are of 1024.
func (b *byteSize) Set(text string) error {
	number := strings.TrimRight(text, "iBbKkMmGgTt")
	unit := strings.ToLower(text[len(number):])
	shift := map[string]int{"": 0, "b": 0, "k": 10, "kb": 10, "kib": 10, "m": 20, "mb": 20, "mib": 20, "g": 30, "gb": 30, "gib": 30, "t": 40, "tb": 40, "tib": 40}
	by, known := shift[unit]
	n, err := strconv.ParseFloat(number, 64)
	if err == nil {
		n = math.Ldexp(n, by)
	}
	if err != nil || !known || !(n >= 1 && n < 1<<62) {
		return fmt.Errorf("%q is no size, such as 512MiB or 8GiB", text)
	}
	*b = byteSize(n)
	return nil
}

func (*byteSize) Type() string { return "bytes" }
