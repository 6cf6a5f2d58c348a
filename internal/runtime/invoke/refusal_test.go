package invoke

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
)

// TestReword: every error of the Runtime as each protocol tells it (spec/runtime.md
// 8.4); testdata/refusals.golden is the table.
func TestReword(t *testing.T) {
	of := func(code string, status int) *fault.Error {
		return fault.New(code, status, "our own words for %s", code)
	}
	faults := []*fault.Error{
		of("UnauthorizedException", 401), of("AccessDeniedException", 403), of("ThrottlingException", 429), of("ServiceQuotaExceededException", 402),
		of("ResourceNotFoundException", 404), of("ConflictException", 409), of("RetryableConflictException", 409), of("ValidationException", 400),
		of("RuntimeClientError", 424), of("RuntimeClientError", 504), of(codeMCPUnacceptable, 406), of(codeMCPSessionNotFound, 404),
		of("RequestEntityTooLargeException", 413), of("InternalServerException", 500), of("ServiceUnavailableException", 503),
	}
	var b strings.Builder
	for _, protocol := range []string{agentcorecontrol.ServerProtocolHTTP, agentcorecontrol.ServerProtocolMCP, agentcorecontrol.ServerProtocolA2A, agentcorecontrol.ServerProtocolAGUI} {
		for _, f := range faults {
			got := reword(protocol, f, json.RawMessage(`"req-001"`))
			if got.Code != f.Code || got.Message != f.Message {
				t.Errorf("%s: %v became %v, which the audit and the log do not know", protocol, f, got)
			}
			body := string(got.Body)
			if got.Body == nil {
				body = "as it is"
			}
			fmt.Fprintf(&b, "%s %d %s: %d %s\n", protocol, f.Status, f.Code, got.Status, strings.TrimSpace(body))
			for _, name := range slices.Sorted(maps.Keys(got.Header)) {
				fmt.Fprintf(&b, "    %s: %s\n", name, got.Header.Get(name))
			}
		}
	}
	golden(t, "refusals.golden", b.String())
}

var update = flag.Bool("update", false, "write the golden files")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; -update rewrites it:\n%s", path, got)
	}
}

// TestRewordKeeps what an error has besides its text.
func TestRewordKeeps(t *testing.T) {
	f := fault.Retryable("line\nbreak – and %s", strings.Repeat("x", 2*maxHeaderText))
	f.Header = http.Header{"Retry-After": {"1"}}
	got := reword(agentcorecontrol.ServerProtocolMCP, f, json.RawMessage("1"))
	if text := got.Header.Get("X-Amzn-Errormessage"); got.Header.Get("Retry-After") != "1" || !strings.HasPrefix(text, "line?break ? and x") || len(text) != maxHeaderText {
		t.Errorf("%v", got.Header)
	}
	if len(f.Header) != 1 || f.Body != nil {
		t.Errorf("the error itself was changed: %+v", f)
	}
}
