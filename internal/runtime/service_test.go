package runtime

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/image"
)

// What is asked for is remembered, unless it failed; what is incomplete, for a
// minute.
func TestOnce(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	some := []image.Interpreter{{Runtime: "PYTHON_3_11"}}
	more := append(some, image.Interpreter{Runtime: "NODE_22"})
	asked, found, failure := 0, some, errors.New("no")
	ask := once(func(context.Context) ([]image.Interpreter, error) {
		asked++
		return found, failure
	}, func() time.Time { return now })
	for i, step := range []struct {
		found   []image.Interpreter
		failure error
		later   time.Duration
		asked   int
		want    string
	}{
		{nil, errors.New("no"), 0, 1, "0 no"},
		{some, fmt.Errorf("find: %w", image.ErrIncomplete), 0, 2, "1 <nil>"},
		{more, nil, searchAgain - 1, 2, "1 <nil>"},
		{more, nil, 1, 3, "2 <nil>"},
		{some, nil, 1000 * time.Hour, 3, "2 <nil>"},
	} {
		found, failure, now = step.found, step.failure, now.Add(step.later)
		got, err := ask(t.Context())
		if text := fmt.Sprint(len(got), err); text != step.want || asked != step.asked {
			t.Errorf("step %d: %s after %d searches, want %s after %d", i, text, asked, step.want, step.asked)
		}
	}
}
