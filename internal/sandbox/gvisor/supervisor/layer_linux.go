package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/supervisor/uplink"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// The host layer (spec/sandbox.md 2): the root file system of a guest that has
// no image. All guests share one, since nobody can write to it.

// layerTrees are the machine's programs and libraries. On most distributions
// all but /usr are links into it.
var layerTrees = [...]string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}

// layerEtc are the parts of /etc that programs need and that hold no secret.
// Not all of /etc/ssl or /etc/pki: they also hold private keys.
var layerEtc = [...]string{
	"/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/openssl.cnf",
	"/etc/pki/tls/certs", "/etc/pki/tls/cert.pem", "/etc/pki/tls/openssl.cnf", "/etc/pki/ca-trust/extracted",
	"/etc/crypto-policies", "/etc/alternatives", "/etc/ld.so.cache", "/etc/localtime", "/etc/mime.types",
	"/etc/protocols", "/etc/services", "/etc/fonts", "/etc/os-release",
}

// layerMasks are patterns of directories that guests see empty. The host's own
// Python packages must not be importable, or an agent works here and nowhere
// else; and what is configured below /usr is the host's own business: npm keeps
// registry tokens in etc/npmrc, Homebrew its services' data in var.
var layerMasks = [...]string{
	"/usr/etc", "/usr/local/etc", "/usr/local/var",
	"/usr/lib/python*/dist-packages", "/usr/lib/python*/site-packages", "/usr/lib64/python*/site-packages",
	"/usr/local/lib/python*/dist-packages", "/usr/local/lib/python*/site-packages",
}

// layerFiles are made up: the machine's own name its users and its network.
var layerFiles = map[string]string{
	"/etc/passwd": "root:x:0:0:root:/:/usr/sbin/nologin\n" +
		fmt.Sprintf("sandbox:x:%[1]d:%[1]d:sandbox:/tmp:/bin/sh\n", wire.GuestID) +
		"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
	"/etc/group":         fmt.Sprintf("root:x:0:\nsandbox:x:%d:\nnogroup:x:65534:\n", wire.GuestID),
	"/etc/hosts":         "127.0.0.1 localhost sandbox\n::1 localhost\n",
	"/etc/hostname":      hostname + "\n",
	"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
	"/etc/resolv.conf":   "nameserver " + uplink.Gateway.String() + "\n", // without a wire there is no way to it
	"/etc/host.conf":     "multi on\n",
}

// buildLayer makes the host layer at root from the machine's root at host.
func buildLayer(host, root string) error {
	for _, d := range []string{"/proc", "/sys", "/dev", "/tmp", "/run", "/var/task", "/etc"} {
		if err := os.MkdirAll(root+d, 0o755); err != nil {
			return fmt.Errorf("make layer: %w", err)
		}
	}
	if err := os.Symlink("../tmp", root+"/var/tmp"); err != nil {
		return fmt.Errorf("make layer: %w", err)
	}
	for name, text := range layerFiles {
		if err := os.WriteFile(root+name, []byte(text), 0o644); err != nil {
			return fmt.Errorf("make layer: %w", err)
		}
	}
	for _, p := range layerTrees {
		if err := show(host, root, p); err != nil {
			return err
		}
	}
	for _, p := range layerEtc {
		if err := show(host, root, p); err != nil {
			return err
		}
	}
	return mask(root)
}

// show makes the host's path p visible in the layer: a link as the same link,
// a directory or file as a bind mount. What the machine does not have is left out.
func show(host, root, p string) error {
	info, err := os.Lstat(host + p)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("show %s: %w", p, err)
	}
	if err := os.MkdirAll(filepath.Dir(root+p), 0o755); err != nil {
		return fmt.Errorf("show %s: %w", p, err)
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		link, err := os.Readlink(host + p)
		if err != nil {
			return fmt.Errorf("show %s: %w", p, err)
		}
		if err := os.Symlink(link, root+p); err != nil {
			return fmt.Errorf("show %s: %w", p, err)
		}
		return nil
	case info.IsDir():
		if err := os.Mkdir(root+p, 0o755); err != nil {
			return fmt.Errorf("show %s: %w", p, err)
		}
	case info.Mode().IsRegular():
		if err := os.WriteFile(root+p, nil, 0o644); err != nil {
			return fmt.Errorf("show %s: %w", p, err)
		}
	default:
		return nil
	}
	return bind(host+p, root+p)
}

// mask hides the directories of layerMasks.
func mask(root string) error {
	for _, pattern := range layerMasks {
		found, err := filepath.Glob(root + pattern)
		if err != nil {
			return fmt.Errorf("mask %s: %w", pattern, err)
		}
		for _, p := range found {
			if info, err := os.Lstat(p); err != nil || !info.IsDir() {
				continue
			}
			if err := bind(emptyDir, p); err != nil {
				return err
			}
		}
	}
	return nil
}
