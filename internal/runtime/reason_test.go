package runtime

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

func TestReasonOf(t *testing.T) {
	full := "disk of this server is full"
	for _, c := range []struct {
		cause error
		want  string
	}{
		{fault.Validation("no main.py"), "no main.py"},
		{errors.New("secret"), "internal error"},
		{fmt.Errorf("unpack: %w", &os.PathError{Op: "write", Path: "/secret", Err: syscall.ENOSPC}), full},
		{fmt.Errorf("commit: %w", store.ErrFull), full},
		{fault.Validation("the zip is too large").Because(syscall.ENOSPC), "the zip is too large"},
	} {
		if got := reasonOf(c.cause); !strings.Contains(got, c.want) || strings.Contains(got, "secret") {
			t.Errorf("reasonOf(%v) = %q, want %q", c.cause, got, c.want)
		}
	}
}
