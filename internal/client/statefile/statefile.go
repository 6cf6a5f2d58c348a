// Package statefile keeps the per-user list of running servers, by which a
// command in another terminal or directory finds the one it should talk to.
//
// The list holds where a server listens, who it is and where its data lies. It
// holds no key: that stays in the data directory.
package statefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Name is the file's name in the directory of the user's state.
const Name = "server.json"

// Record is one server that was running when it was written.
type Record struct {
	URL           string    `json:"url"`
	PID           int       `json:"pid"`
	ProcessStart  string    `json:"processStart,omitempty"` // see Process
	DataDirectory string    `json:"dataDirectory"`
	Account       string    `json:"account"`
	Region        string    `json:"region"`
	StartedAt     time.Time `json:"startedAt"`
	// ProxyURL is where AWS's host names are answered, for clients that take a
	// proxy; TLSAddresses are where TLS is spoken, for those that do not.
	ProxyURL     string   `json:"proxyUrl,omitempty"`
	TLSAddresses []string `json:"tlsAddresses,omitempty"`
}

// File is the list at a path. Writers take turns by a lock beside it, and
// readers always see a whole list.
type File struct {
	Path string
	// Process tells when a process started, as a text that no later process
	// with its number shares, or that it is not there. Nil is this system's.
	Process func(pid int) (start string, alive bool)
}

type content struct {
	Version int      `json:"version"`
	Servers []Record `json:"servers"`
}

// List returns all records, newest first. A file that is not there is an empty
// list; one that cannot be read or understood is an error.
func (f File) List() ([]Record, error) {
	b, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read list of servers: %w", err)
	}
	var c content
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, fmt.Errorf("read list of servers %s: %w", f.Path, err)
	}
	slices.SortStableFunc(c.Servers, func(a, b Record) int { return b.StartedAt.Compare(a.StartedAt) })
	return c.Servers, nil
}

// Alive reports whether the process that r names still runs. A later process
// that happens to have its number does not count.
func (f File) Alive(r Record) bool {
	process := f.Process
	if process == nil {
		process = Process
	}
	start, alive := process(r.PID)
	return alive && (r.ProcessStart == "" || start == "" || start == r.ProcessStart)
}

// Live returns the records of servers that still run, newest first.
func (f File) Live() ([]Record, error) {
	all, err := f.List()
	return slices.DeleteFunc(all, func(r Record) bool { return !f.Alive(r) }), err
}

// Add puts r in the list in place of what was known about its data directory,
// and drops servers that are gone. The file is 0600 in a directory 0700.
func (f File) Add(r Record) error {
	return f.change(func(all []Record) []Record {
		all = slices.DeleteFunc(all, func(o Record) bool { return o.DataDirectory == r.DataDirectory || !f.Alive(o) })
		return append(all, r)
	})
}

// Remove takes r out of the list, unless another process has taken over its
// data directory.
func (f File) Remove(r Record) error {
	return f.change(func(all []Record) []Record {
		return slices.DeleteFunc(all, func(o Record) bool { return o.DataDirectory == r.DataDirectory && o.PID == r.PID })
	})
}

// change applies edit to the list under the lock. A list that cannot be
// understood is replaced: it can be rebuilt by starting the servers again.
func (f File) change(edit func([]Record) []Record) (err error) {
	dir := filepath.Dir(f.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make directory of the list of servers: %w", err)
	}
	unlock, err := lock(f.Path + ".lock")
	if err != nil {
		return fmt.Errorf("lock list of servers: %w", err)
	}
	defer unlock()
	all, err := f.List()
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	c := content{Version: 1, Servers: edit(all)}
	if c.Servers == nil {
		c.Servers = []Record{}
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("write list of servers: %w", err)
	}
	return replace(f.Path, append(b, '\n'))
}

// replace writes b to path so that a reader sees the old content or the new.
func replace(path string, b []byte) error {
	t, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // 0600
	if err != nil {
		return fmt.Errorf("write list of servers: %w", err)
	}
	_, err = t.Write(b)
	err = errors.Join(err, t.Close())
	if err == nil {
		err = os.Rename(t.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write list of servers: %w", errors.Join(err, os.Remove(t.Name())))
	}
	return nil
}
