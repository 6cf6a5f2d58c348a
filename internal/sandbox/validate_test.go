package sandbox_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/sandbox"
)

func TestSpecValidate(t *testing.T) {
	ok := sandbox.Spec{ID: "a-B_9", Args: []string{"sh"}, Env: []string{"A=", "B=1=2"}, Dir: "/tmp", Code: "/x", Mounts: []sandbox.Mount{{Source: "/opt/py"}}}
	tests := []struct {
		name   string
		change func(*sandbox.Spec)
		want   string // a part of the error; empty for none
	}{
		{"valid", func(*sandbox.Spec) {}, ""},
		{"longest id", func(s *sandbox.Spec) { s.ID = strings.Repeat("x", 64) }, ""},
		{"no id", func(s *sandbox.Spec) { s.ID = "" }, "ID: 0 characters"},
		{"long id", func(s *sandbox.Spec) { s.ID = strings.Repeat("x", 65) }, "ID: 65 characters"},
		{"id with slash", func(s *sandbox.Spec) { s.ID = "a/b" }, "ID: "},
		{"id with bracket", func(s *sandbox.Spec) { s.ID = "a[b" }, "ID: "},
		{"no command", func(s *sandbox.Spec) { s.Args = nil }, "Args: a command"},
		{"empty command", func(s *sandbox.Spec) { s.Args = []string{""} }, "Args: a command"},
		{"NUL in argument", func(s *sandbox.Spec) { s.Args = []string{"a", "b\x00"} }, "Args[1]: a NUL"},
		{"huge arguments", func(s *sandbox.Spec) { s.Args = []string{strings.Repeat("x", 1<<20)} }, "Args: 1048577 bytes"},
		{"variable without name", func(s *sandbox.Spec) { s.Env = []string{"=x"} }, "Env: "},
		{"variable without value", func(s *sandbox.Spec) { s.Env = []string{"X"} }, "Env: "},
		{"relative directory", func(s *sandbox.Spec) { s.Dir = "tmp" }, "Dir: "},
		{"code with dots", func(s *sandbox.Spec) { s.Code = "/a/../b" }, "Code: "},
		{"code is the root", func(s *sandbox.Spec) { s.Code = "/" }, "Code: "},
		{"relative mount", func(s *sandbox.Spec) { s.Mounts = []sandbox.Mount{{Source: "x"}} }, "Mounts[0].Source"},
		{"mount over root", func(s *sandbox.Spec) { s.Mounts = []sandbox.Mount{{Source: "/x", Target: "/"}} }, "Mounts[0].Target"},
		{"relative root", func(s *sandbox.Spec) { s.Root = "x" }, "Root: "},
		{"relative overlay", func(s *sandbox.Spec) { s.Root, s.Overlay = "/x", "y" }, "Overlay: "},
		{"overlay over nothing", func(s *sandbox.Spec) { s.Overlay = "/x" }, "Overlay: "},
		{"user of the host layer", func(s *sandbox.Spec) { s.User = 1 }, "User and Group: "},
		{"negative disk", func(s *sandbox.Spec) { s.Limits.DiskBytes = -1 }, "Limits.DiskBytes"},
		{"negative tmp", func(s *sandbox.Spec) { s.TmpBytes = -1 }, "TmpBytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := ok
			tt.change(&s)
			err := s.Validate()
			if tt.want == "" {
				if err != nil {
					t.Fatalf("Validate() = %v, want nil", err)
				}
				return
			}
			if !errors.Is(err, sandbox.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Validate() = %v, want ErrInvalid with %q", err, tt.want)
			}
		})
	}
}

func TestUnavailableError(t *testing.T) {
	cause := errors.New("cause")
	var err error = &sandbox.UnavailableError{Reason: "user namespaces are off", Fix: "turn them on", Err: cause}
	if !errors.Is(err, sandbox.ErrUnavailable) || !errors.Is(err, cause) {
		t.Errorf("%v matches neither ErrUnavailable nor its cause", err)
	}
	if got, want := err.Error(), "sandboxes are not available: user namespaces are off; turn them on"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}
