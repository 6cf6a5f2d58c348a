package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/internal/bundle"
	"github.com/outcrop/outcrop/internal/client"
)

// Agents is where agents of this server are deployed.
func (s *Server) Agents() agent.Account { return agent.Account{ID: s.Account, Config: s.AWS()} }

// Client is what the command line asks the server with.
func (s *Server) Client() *client.Client {
	s.t.Helper()
	c, err := client.New(client.Config{Target: client.Target{
		Endpoint: s.URL, Region: s.Region, AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey,
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// Targets are what the server's sandboxes can run, for packing an agent.
func (s *Server) Targets() []bundle.Target {
	s.t.Helper()
	info, err := s.Client().Server(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return agent.Targets(info)
}

// Python is the newest that the server has. Without any the test is skipped.
func (s *Server) Python() types.AgentManagedRuntimeType {
	s.t.Helper()
	targets := s.Targets()
	for i := len(targets) - 1; i >= 0; i-- {
		if strings.HasPrefix(targets[i].Runtime, "PYTHON_") {
			return types.AgentManagedRuntimeType(targets[i].Runtime)
		}
	}
	s.t.Skip("this machine has no Python in /usr or /usr/local: nothing can be deployed")
	return ""
}

// Pack vendors and packs a folder as `outcrop deploy` does, and returns the zip and
// the Python that runs it.
func (s *Server) Pack(folder, entry string) (code []byte, python types.AgentManagedRuntimeType) {
	s.t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		s.t.Fatal(err)
	}
	b, err := bundle.Build(s.t.Context(), bundle.Options{
		Folder: folder, Entry: entry, Targets: s.Targets(), TempDir: s.t.TempDir(),
		CacheDir: filepath.Join(cache, "outcrop", "vendor"), Env: os.Environ(),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	code, err = os.ReadFile(b.Path)
	if err := errors.Join(err, b.Close()); err != nil {
		s.t.Fatal(err)
	}
	return code, types.AgentManagedRuntimeType(b.Runtime)
}

// SessionID makes a session's id of legal length.
func SessionID(parts ...any) string {
	id := fmt.Sprint(parts...)
	return id + strings.Repeat("-", max(0, 40-len(id)))
}

// Wait is how long tests wait for what happens in the background. It is no promise of how
// fast that is.
const Wait = time.Minute

// Until waits, for Wait at most, for something that happens in the background.
func (s *Server) Until(what string, is func() bool) {
	s.t.Helper()
	for end := time.Now().Add(Wait); !is(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("after %v it is not so that %s\n%s", Wait, what, s.Log())
		}
	}
}
