package target

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/outcrop/outcrop/internal/fault"
)

// TestBodyTooLarge: who bounds a body may be who hands it over. It is the caller's fault
// then, too, and not that the target was not reached.
func TestBodyTooLarge(t *testing.T) {
	bounded := func() io.Reader {
		return io.MultiReader(strings.NewReader("x"), iotest.ErrReader(fault.New("TooLarge", http.StatusRequestEntityTooLarge, "too large")))
	}
	whole := func(b *Body) error {
		_, err := b.Bytes()
		return err
	}
	passing := func(b *Body) error {
		var r http.Request
		if err := b.Put(&r); err != nil {
			return err
		}
		_, err := io.ReadAll(r.Body)
		return err
	}
	for name, read := range map[string]func(*Body) error{"whole": whole, "passing": passing} {
		for what, stream := range map[string]io.Reader{"by itself": strings.NewReader(strings.Repeat("x", MaxBody+1)), "before": bounded()} {
			f, ok := errors.AsType[*Failure](read(NewBody(stream, -1)))
			if !ok || f.Type != TooLarge || !f.Shown || f.Text != "The request has more than 6291456 bytes" {
				t.Errorf("%s, bounded %s: %+v", name, what, f)
			}
		}
	}
}
