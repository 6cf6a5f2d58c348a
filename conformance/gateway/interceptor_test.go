package gateway

import (
	"testing"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// TestInterceptors: functions see, change and answer what passes, and what they fail on
// does not pass.
func TestInterceptors(t *testing.T) {
	s := server.Start(t, server.Options{})
	const want = `listed 200 ['T1___broken', 'T1___plain']
called 200 {"got": {"a": 1}, "tool": "T1___plain"}
refused {'code': -32002, 'message': 'not from here'}
failed 500 -32603 An internal error occurred. Please retry later. True
`
	if got := s.Run(t, nil, pinned.Program(t, "python"), "testdata/interceptors.py"); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// TestWebInterceptors is the same of HTTP and inference targets, and of private endpoints.
func TestWebInterceptors(t *testing.T) {
	s := server.Start(t, server.Options{Args: []string{"--allow-private", "127.0.0.1", "--private-endpoint", "rcfg-0123456789abcdef0=127.0.0.1"}})
	const want = `passed 200 None 127.0.0.1/open hello of ann Bearer
masked 203 text/plain 127.0.0.1/open my *** of ann Bearer
closed 403 True
broken 500 False
routed 200 None orders.office.example/x hello None Bearer
lattice 200 None stock.office.example/x hello None Bearer
model 200 None 127.0.0.1/v1/chat/completions {"model": "small"} None AWS4-HMAC-SHA256
`
	if got := s.Run(t, nil, pinned.Program(t, "python"), "testdata/interceptors_http.py"); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
