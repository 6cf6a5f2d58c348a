package smithy

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/internal/gateway/smithy/rules"
)

// TestEndpoints holds that the endpoint rules of every service that botocore has come to
// what botocore makes of them.
func TestEndpoints(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), pinned.Program(t, "python"), "testdata/endpoints.py")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	sets := map[string]*rules.Set{}
	evaluated, refused := 0, 0
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var want struct {
			Rules, Service, URL, Error string

			Params, Properties map[string]any
			Headers            map[string][]string
		}
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		if sets[want.Rules] == nil {
			if sets[want.Rules], err = rules.Parse(unzip(t, want.Rules)); err != nil {
				t.Fatalf("%s: %v", want.Service, err)
			}
		}
		have, err := sets[want.Rules].Resolve(want.Params)
		evaluated++
		if want.Error != "" {
			refused++
			if err == nil || !strings.Contains(want.Error, err.Error()) && !ownError(want.Error) {
				t.Errorf("%s %v: %v %v, want %s", want.Service, want.Params, have, err, want.Error)
			}
			continue
		}
		if err != nil || have.URL != want.URL || !reflect.DeepEqual(have.Properties, want.Properties) || len(have.Headers)+len(want.Headers) > 0 && !reflect.DeepEqual(have.Headers, want.Headers) {
			t.Errorf("%s %v: %+v %v, want %+v", want.Service, want.Params, have, err, want)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d rule sets, %d evaluations, of which %d are refused", len(sets), evaluated, refused)
	if len(sets) < 300 || evaluated < 10_000 {
		t.Error("too few were evaluated")
	}
}

// ownError says whether an error is in botocore's words, and not the rules'.
func ownError(text string) bool {
	return slices.ContainsFunc([]string{"No endpoint found", "required parameter", "Both values must be"}, func(s string) bool { return strings.Contains(text, s) })
}

func unzip(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
