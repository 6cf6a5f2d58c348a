package pipeline

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/protocol"
	"github.com/outcrop/outcrop/internal/api/validation"
)

// BenchmarkDecode reads and validates a CreateAgentRuntime of usual size.
func BenchmarkDecode(b *testing.B) {
	body := fmt.Sprintf(goodRuntime, `,"clientToken":"0123456789-0123456789-0123456789-0","description":"an agent","environmentVariables":{"A":"1","B":"2"},`+
		`"lifecycleConfiguration":{"idleRuntimeSessionTimeout":900,"maxLifetime":28800},"protocolConfiguration":{"serverProtocol":"HTTP"},"tags":{"team":"a"}`)
	svc := &agentcorecontrol.Service
	op := svc.Operation("CreateAgentRuntime")
	codec, c := protocol.For(svc.Protocol), protocol.Call{Service: svc, Operation: op}
	r := newRequest("PUT", "/runtimes/", "")
	r.Header.Set("Content-Type", "application/json")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		r.Body = io.NopCloser(strings.NewReader(body))
		in := op.NewInput()
		if err := codec.Decode(c, r, nil, in); err != nil {
			b.Fatal(err)
		}
		if err := validation.Check(svc, op, in, testVersion); err != nil {
			b.Fatal(err)
		}
	}
}

// sink is a ResponseWriter that keeps nothing.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header                 { return s.header }
func (s *sink) Write(b []byte) (int, error)         { return len(b), nil }
func (s *sink) WriteHeader(int)                     {}
func (s *sink) Flush()                              {}
func (s *sink) ReadFrom(r io.Reader) (int64, error) { return io.Copy(io.Discard, r) }

// BenchmarkInvoke is an InvokeAgentRuntime through the whole pipeline, with a
// handler that answers at once.
func BenchmarkInvoke(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			k := newKit(b)
			answer := strings.Repeat("a", size)
			k.serve["InvokeAgentRuntime"] = func(_ context.Context, in any) (any, error) {
				_, err := io.Copy(io.Discard, in.(*agentcore.InvokeAgentRuntimeRequest).Payload)
				return &agentcore.InvokeAgentRuntimeResponse{ContentType: str("application/json"), Response: io.NopCloser(strings.NewReader(answer))}, err
			}
			body := strings.Repeat("b", size)
			r := newRequest("POST", "/runtimes/"+escapeLabel(testARN)+"/invocations?qualifier=DEFAULT", body)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", strings.Repeat("s", 36))
			sign(b, r, "bedrock-agentcore", body)
			k.audit.forget = true
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				one := *r
				one.Body = io.NopCloser(strings.NewReader(body))
				k.ServeHTTP(&sink{header: http.Header{}}, &one)
			}
			if k.served == 0 {
				b.Fatal("nothing was served")
			}
		})
	}
}
