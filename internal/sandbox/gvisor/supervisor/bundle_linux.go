package supervisor

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// hostname is every guest's.
const hostname = "sandbox"

// netNSPath is the network namespace as the runsc that boots a sandbox sees it:
// the first file it inherits beyond the standard ones.
const netNSPath = "/proc/self/fd/3"

// ociSpec describes a guest on the host layer. Of what it mounts only gVisor's own
// file systems are writable, so no overlay is needed. Their sizes bound these two
// and not the guest: it may unshare a user and a mount namespace and mount a tmpfs
// of any size there, as its processes may allocate. The limit on the sandbox's
// memory holds that.
func ociSpec(m *wire.Start) *specs.Spec {
	annotations := visible(m.Limits)
	size := fmt.Sprintf("size=%d", m.TmpBytes)
	mounts := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc"},
		tmp(size, annotations),
		{Destination: "/dev/shm", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "noexec", "mode=1777", size}},
	}
	for _, v := range m.Mounts {
		access := []string{"ro"}
		if v.Writable {
			access = writable(m, annotations, filepath.Join(hostDir, v.Source))
		}
		mounts = append(mounts, specs.Mount{
			Destination: v.Target, Type: "bind", Source: filepath.Join(hostDir, v.Source),
			Options: append(access, "rbind", "nosuid", "nodev"),
		})
	}
	return &specs.Spec{
		Version:     specs.Version,
		Annotations: annotations,
		Hostname:    hostname,
		Root:        &specs.Root{Path: layerDir, Readonly: true},
		Mounts:      mounts,
		Process: &specs.Process{
			User:            specs.User{UID: m.UID, GID: m.GID},
			Args:            m.Args,
			Env:             m.Env,
			Cwd:             m.Dir,
			Capabilities:    &specs.LinuxCapabilities{},
			NoNewPrivileges: true,
			Rlimits:         rlimits(m.Limits),
		},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
			{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
			{Type: specs.NetworkNamespace, Path: netNSPath},
		}},
	}
}

// tmp mounts a file system at /tmp whose bytes lie in a file of disksDir, as those
// of writable roots do: they do not count as the guest's memory. It takes a bind
// mount and hints that tell gVisor to mount nothing of what is bound.
func tmp(size string, annotations map[string]string) specs.Mount {
	options := []string{"nosuid", "nodev", "mode=1777", size}
	if noexec(disksDir) { // guests could not execute what they wrote
		return specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: options}
	}
	for key, value := range map[string]string{"source": disksDir, "type": "tmpfs", "share": "container", "options": strings.Join(options, ",")} {
		annotations["dev.gvisor.spec.mount.tmp."+key] = value
	}
	return specs.Mount{Destination: "/tmp", Type: "bind", Source: disksDir, Options: []string{"nosuid", "nodev"}}
}

// A bundle is a sandbox's directory.
type bundle string

func (b bundle) log() string { return filepath.Join(string(b), "log") }
func (b bundle) pid() string { return filepath.Join(string(b), "pid") }

// panics is a pattern; runsc adds nothing to it unless it ends in a slash.
func (b bundle) panics() string { return filepath.Join(string(b), "panic") }

// writeBundle makes the directory that runsc boots from. Whoever removes the guest
// removes it, also when it is unfinished.
func writeBundle(b bundle, m *wire.Start) error {
	if err := os.Mkdir(string(b), 0o700); err != nil {
		return fmt.Errorf("make bundle: %w", err)
	}
	spec := ociSpec(m)
	if m.Root != "" {
		if err := useRoot(spec, b, m); err != nil {
			return err
		}
	}
	config, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("encode bundle: %w", err)
	}
	if err := os.WriteFile(filepath.Join(string(b), "config.json"), config, 0o600); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}
