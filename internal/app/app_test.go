package app_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/client"
)

// start runs a server until the test ends and returns its URL.
func start(t *testing.T, dir string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- app.Run(ctx, app.Config{
			Listener: l, DataDir: dir, Region: "eu-central-1", Version: "test", Log: slog.New(slog.DiscardHandler), Grace: time.Second,
			Ready: func(string, string) { close(ready) },
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("Run: %v", err)
	}
	return "http://" + l.Addr().String()
}

func get(t *testing.T, method, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// openRoutes is the whole list of what answers without credentials.
var openRoutes = []string{"GET /", "HEAD /", "GET /_outcrop/health", "HEAD /_outcrop/health"}

// TestOpenRoutes tries every route there is without credentials.
func TestOpenRoutes(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Run("server", func(t *testing.T) {
		base := start(t, filepath.Join(t.TempDir(), "data"))
		label := regexp.MustCompile(`\{[^}]*\}`)
		tried := map[string]bool{}
		for _, svc := range []*schema.Service{&agentcorecontrol.Service, &agentcore.Service, &outcrop.Service, &s3.Service} {
			for _, op := range svc.Operations {
				tried[op.Method+" "+label.ReplaceAllString(op.Path, "x")] = true
			}
		}
		for _, path := range []string{"/", "/_outcrop/health", "/_outcrop", "/_outcrop/v1", "/index.html", "/.well-known/openid-configuration", "/v2/", "/debug/pprof/"} {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"} {
				tried[method+" "+path] = true
			}
		}
		open := map[string]bool{}
		for _, route := range openRoutes {
			open[route] = true
		}
		for route := range tried {
			method, path, _ := strings.Cut(route, " ")
			status, body := get(t, method, base+path)
			if answered := status < 400; answered != open[route] {
				t.Errorf("%s without credentials: %d %.200s", route, status, body)
			}
		}
		t.Logf("%d routes tried", len(tried))
	})
}

// TestDataDirectory holds what a first start leaves and what a second finds.
func TestDataDirectory(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0)) // the modes must not depend on it
	dir := filepath.Join(t.TempDir(), "data")
	var first client.Credentials
	t.Run("first", func(t *testing.T) {
		if status, body := get(t, "GET", start(t, dir)+"/"); status != http.StatusOK || !strings.Contains(body, "outcrop env") {
			t.Errorf("/ answered %d: %s", status, body)
		}
		var err error
		if first, err = client.ReadCredentials(dir); err != nil {
			t.Fatal(err)
		}
		if first.Region != "eu-central-1" || len(first.AccountID) != 12 || len(first.SecretAccessKey) != 40 {
			t.Errorf("credentials %+v", first)
		}
	})
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		// Guests are other users, whom the directories above keep from nothing.
		forGuests := strings.Contains(path, filepath.Join(dir, "sandbox")) || path == filepath.Join(dir, "guest-ca", "bundle.pem") ||
			strings.HasPrefix(path, filepath.Join(dir, "functions")+"/") && info.Mode().IsRegular()
		if perm := info.Mode().Perm(); perm&0o077 != 0 && !forGuests {
			t.Errorf("%s has mode %04o: others can read it", path, perm)
		}
		if info.Mode().IsRegular() && filepath.Base(path) != client.CredentialsName {
			body, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if strings.Contains(string(body), first.SecretAccessKey) {
				t.Errorf("%s holds the root key in the clear", path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("second", func(t *testing.T) {
		start(t, dir)
		if again, err := client.ReadCredentials(dir); err != nil || again != first {
			t.Errorf("the second start has %v, %v, want the first's %v", again, err, first)
		}
	})
}

func TestDataDirectoryThatOthersRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	err = app.Run(t.Context(), app.Config{Listener: l, DataDir: dir, Log: slog.New(slog.DiscardHandler), Ready: func(string, string) { t.Error("it serves") }})
	if err == nil || !strings.Contains(err.Error(), "chmod 700 "+dir) {
		t.Errorf("Run = %v, want a refusal with the way out", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("it left %v behind", left)
	}
}
