package oci

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/outcrop/outcrop/internal/fault"
)

// maxAccounts bounds an image's /etc/passwd and /etc/group, in bytes.
const maxAccounts = 1 << 20

// A User is whom an image's program runs as.
type User struct {
	UID, GID uint32
	Home     string
}

// Launch is how an image is started in a sandbox; it fills a sandbox.Spec.
type Launch struct {
	Args []string
	// Env are the image's variables, each NAME=VALUE, and HOME where it sets
	// none; the runtime's own win.
	Env []string
	// Dir is the working directory; empty means the root.
	Dir      string
	UID, GID uint32
}

// Launch says how to start the image, with args instead of its command (its
// entry point stays) unless they are nil. A refusal is a fault.Error.
func (i *Image) Launch(args []string) (Launch, error) {
	c := i.Config
	if args == nil {
		args = c.Cmd
	}
	l := Launch{Args: slices.Concat(c.Entrypoint, args), UID: i.User.UID, GID: i.User.GID}
	if len(l.Args) == 0 || l.Args[0] == "" {
		return l, fault.Validation("The image %s says no command to run. Give it a CMD or an ENTRYPOINT.", i.Reference)
	}
	home := false
	for _, v := range c.Env {
		if at := strings.IndexByte(v, '='); at < 1 || strings.IndexByte(v, 0) >= 0 {
			continue // what is no variable cannot be set
		}
		home = home || strings.HasPrefix(v, "HOME=")
		l.Env = append(l.Env, v)
	}
	if !home {
		l.Env = append(l.Env, "HOME="+i.User.Home)
	}
	if dir := path.Clean("/" + c.WorkingDir); dir != "/" {
		l.Dir = dir
	}
	return l, nil
}

// A Config is what an image says about how it is run.
type Config struct {
	Entrypoint []string          `json:"entrypoint,omitempty"`
	Cmd        []string          `json:"cmd,omitempty"`
	Env        []string          `json:"env,omitempty"`
	WorkingDir string            `json:"workingDir,omitempty"`
	User       string            `json:"user,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	// Ports are the TCP ports that it exposes, in order.
	Ports []uint16 `json:"ports,omitempty"`
	// Platform is what it was built for: linux/arm64.
	Platform string `json:"platform"`
}

// parseConfig reads an image's configuration.
func parseConfig(raw []byte) (*v1.ConfigFile, Config, error) {
	file := new(v1.ConfigFile)
	if err := json.Unmarshal(raw, file); err != nil {
		return nil, Config{}, fault.Validation("The image is damaged: its configuration is no JSON of OCI's form. Push it again.").Because(err)
	}
	c := file.Config
	for _, list := range [][]string{c.Entrypoint, c.Cmd, {c.WorkingDir, c.User}} {
		if slices.ContainsFunc(list, func(s string) bool { return strings.IndexByte(s, 0) >= 0 }) {
			return nil, Config{}, fault.Validation("The image is refused: its configuration has a NUL byte in its command, user or directory.")
		}
	}
	out := Config{Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: c.Env, WorkingDir: c.WorkingDir, User: c.User, Labels: c.Labels, Platform: "an unnamed platform"}
	if p := file.Platform(); p != nil {
		out.Platform = platformText(*p)
	}
	for _, p := range slices.Sorted(maps.Keys(c.ExposedPorts)) {
		number, protocol, _ := strings.Cut(p, "/")
		if n, err := strconv.ParseUint(number, 10, 16); err == nil && n > 0 && (protocol == "" || protocol == "tcp") {
			out.Ports = append(out.Ports, uint16(n))
		}
	}
	slices.Sort(out.Ports)
	return file, out, nil
}

// lookup finds whom the image's USER names: a name or number, maybe with a group
// after a colon. Names are those of the image's own /etc/passwd and /etc/group; a
// number that is not there is taken as it is, in group 0, as other engines do.
func lookup(t *tree, layers []string, user string) (User, error) {
	name, group, grouped := strings.Cut(user, ":")
	if name == "" {
		name = "0"
	}
	u := User{Home: "/"}
	id, numeric := parseID(name)
	u.UID = id
	found := false
	for line := range accounts(t, layers, "etc/passwd") { // name:password:uid:gid:comment:home:shell
		f := strings.Split(line, ":")
		if len(f) < 6 {
			continue
		}
		uid, ok1 := parseID(f[2])
		gid, ok2 := parseID(f[3])
		if !ok1 || !ok2 || f[0] != name && (!numeric || uid != id) {
			continue
		}
		u.UID, u.GID, found = uid, gid, true
		if path.IsAbs(f[5]) {
			u.Home = path.Clean(f[5])
		}
		break
	}
	if !found && !numeric {
		return u, fault.Validation("The image runs as user %s, which its /etc/passwd does not have. Add the user, or give a number.", quote(name))
	}
	if !grouped || group == "" {
		return u, nil
	}
	gid, numeric := parseID(group)
	if numeric {
		u.GID = gid
		return u, nil
	}
	for line := range accounts(t, layers, "etc/group") { // name:password:gid:members
		f := strings.Split(line, ":")
		if len(f) < 3 || f[0] != group {
			continue
		}
		if gid, ok := parseID(f[2]); ok {
			u.GID = gid
			return u, nil
		}
	}
	return u, fault.Validation("The image runs in group %s, which its /etc/group does not have. Add the group, or give a number.", quote(group))
}

func parseID(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n <= maxID
}

// accounts yields the lines of an image's file, as far as it has it.
func accounts(t *tree, layers []string, name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		n := t.find(name)
		if n == nil {
			return
		}
		file, err := os.Open(filepath.Join(layers[n.layer], contentName(n.File)))
		if err != nil {
			return
		}
		defer file.Close()
		data, err := io.ReadAll(io.LimitReader(file, maxAccounts))
		if err != nil {
			return
		}
		for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
			if !yield(strings.TrimSpace(s.Text())) {
				return
			}
		}
	}
}
