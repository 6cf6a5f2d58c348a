package gvisor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// snapshotKey changes with what a guest's state depends on: the build of the
// sandbox executable (hooks included), the processor's features, which programs
// have looked at, and the kernel, which decides which of them it saves. It is
// empty when this machine has no sandbox executable.
func (e *engine) snapshotKey() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.key == "" {
		e.key = makeKey(e.files, e.cfg.Executable, e.host)
	}
	return e.key
}

func makeKey(files fs.FS, external string, h host) string {
	build, err := buildOf(files, external)
	if err != nil {
		return ""
	}
	cpu, err := os.ReadFile(h.path("/proc/cpuinfo"))
	if err != nil {
		return ""
	}
	kernel, err := os.ReadFile(h.path("/proc/sys/kernel/osrelease"))
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%s", runtime.GOARCH, build, features(string(cpu)), kernel))
	return hex.EncodeToString(sum[:])
}

// buildOf identifies the executable. An external one is a developer's: its digest
// would take long, and its time is enough to tell builds apart.
func buildOf(files fs.FS, external string) (string, error) {
	if external == "" {
		line, err := fs.ReadFile(files, packedName(runtime.GOARCH)+".sha256")
		return string(line), err
	}
	var st unix.Stat_t
	if err := unix.Stat(external, &st); err != nil {
		return "", err
	}
	return fmt.Sprint(external, st.Size, st.Ino, st.Mtim), nil
}

// features is the line of /proc/cpuinfo that lists the first processor's.
func features(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		name, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(name) {
		case "flags", "Features":
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// specKey is the digest of what of a start must be as it was when its guest was
// saved: all but the sandbox's name, its environment and its way out.
func specKey(m *wire.Start) (string, error) {
	frozen := *m
	frozen.Sandbox, frozen.Env, frozen.Resume, frozen.Cable = "", nil, false, nil
	// A machine may be given more memory, of which the engine's own bound is a part.
	frozen.Limits.Memory = 0
	// Another place, another content: that of whoever goes on.
	frozen.Volumes = slices.Clone(m.Volumes)
	for i := range frozen.Volumes {
		frozen.Volumes[i].Source = ""
	}
	text, err := json.Marshal(frozen)
	if err != nil {
		return "", fmt.Errorf("digest spec: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
