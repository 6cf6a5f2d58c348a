package pipeline

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// serveHTTP runs the pipeline behind a real server.
func (k *kit) serveHTTP(t testing.TB) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(k)
	t.Cleanup(s.Close)
	return s
}

// send sends a signed request over the network.
func send(t testing.TB, s *httptest.Server, service, method, target, body string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.Client().Do(sign(t, r, service, body))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func str(s string) *string { return &s }

// invocation answers an InvokeAgentRuntime with a body.
func invocation(body io.ReadCloser) func(context.Context, any) (any, error) {
	return func(context.Context, any) (any, error) {
		return &agentcore.InvokeAgentRuntimeResponse{ContentType: str("text/event-stream"), Response: body}, nil
	}
}

const invokePath = "/runtimes/hello-AbCdEfGh12/invocations"

// TestStreamingAnswer sees each piece as soon as it is written: the next one is
// written only when the client has read the last.
func TestStreamingAnswer(t *testing.T) {
	k := newKit(t)
	reader, writer := io.Pipe()
	k.serve["InvokeAgentRuntime"] = invocation(reader)
	res := send(t, k.serveHTTP(t), "bedrock-agentcore", "POST", invokePath, "{}")
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	lines := bufio.NewReader(res.Body)
	for i := range 100 {
		want := fmt.Sprintf("data: %d\n", i)
		if _, err := io.WriteString(writer, want); err != nil {
			t.Fatal(err)
		}
		if got, err := lines.ReadString('\n'); got != want || err != nil {
			t.Fatalf("%q %v, want %q", got, err, want)
		}
	}
	_ = writer.Close()
	if _, err := lines.ReadString('\n'); err != io.EOF {
		t.Errorf("the stream ends with %v", err)
	}
}

// TestBrokenAnswer shows a client that the stream did not end, but broke.
func TestBrokenAnswer(t *testing.T) {
	for name, end := range map[string]func(w *io.PipeWriter){
		"error": func(w *io.PipeWriter) { _ = w.CloseWithError(errors.New("agent died")) },
		"clean": func(w *io.PipeWriter) { _ = w.Close() },
	} {
		k := newKit(t)
		reader, writer := io.Pipe()
		k.serve["InvokeAgentRuntime"] = invocation(reader)
		res := send(t, k.serveHTTP(t), "bedrock-agentcore", "POST", invokePath, "{}")
		if _, err := io.WriteString(writer, "data: half"); err != nil {
			t.Fatal(err)
		}
		end(writer)
		body, err := io.ReadAll(res.Body)
		if string(body) != "data: half" || (err == nil) != (name == "clean") {
			t.Errorf("%s: the client reads %q and %v", name, body, err)
		}
	}
}

// panicReader panics when it is read.
type panicReader struct{}

func (panicReader) Read([]byte) (int, error) { panic("reader") }
func (panicReader) Close() error             { return nil }

// TestPanicInBody breaks the connection: the head is out.
func TestPanicInBody(t *testing.T) {
	k := newKit(t)
	k.serve["InvokeAgentRuntime"] = invocation(panicReader{})
	res := send(t, k.serveHTTP(t), "bedrock-agentcore", "POST", invokePath, "{}")
	if body, err := io.ReadAll(res.Body); err == nil || len(body) != 0 {
		t.Errorf("the client reads %q and %v", body, err)
	}
}

// TestEarlyAnswer lets an agent answer while the client still sends.
func TestEarlyAnswer(t *testing.T) {
	k := newKit(t)
	reader, writer := io.Pipe()
	k.serve["InvokeAgentRuntime"] = invocation(reader)
	s := k.serveHTTP(t)
	upload, client := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+invokePath, upload)
	if err != nil {
		t.Fatal(err)
	}
	res := make(chan *http.Response, 1)
	go func() {
		answer, err := s.Client().Do(signHash(t, r, testKey, "bedrock-agentcore", "UNSIGNED-PAYLOAD"))
		if err != nil {
			t.Error(err)
		}
		res <- answer
	}()
	if _, err := io.WriteString(client, "half of the request"); err != nil {
		t.Fatal(err)
	}
	answer := <-res
	if answer == nil {
		t.FailNow()
	}
	defer answer.Body.Close()
	_, _ = io.WriteString(writer, "answer")
	_ = writer.Close()
	_ = client.Close()
	if got := readAll(t, answer.Body); got != "answer" {
		t.Errorf("got %q", got)
	}
}

// TestHeaderInjection lets no value end its header.
func TestHeaderInjection(t *testing.T) {
	k := newKit(t)
	k.serve["InvokeAgentRuntime"] = func(context.Context, any) (any, error) {
		return &agentcore.InvokeAgentRuntimeResponse{
			ContentType: str("text/plain"), TraceId: str("x\r\nSet-Cookie: a=b"), Baggage: str("k=v"), Response: io.NopCloser(strings.NewReader("ok")),
		}, nil
	}
	res := send(t, k.serveHTTP(t), "bedrock-agentcore", "POST", invokePath, "{}")
	if res.Header.Get("Set-Cookie") != "" || res.Header.Get("X-Amzn-Trace-Id") != "" || res.Header.Get("Baggage") != "k=v" {
		t.Errorf("%v", res.Header)
	}
}

// TestUnencodable answers 500 when an output cannot be written, not half of it.
func TestUnencodable(t *testing.T) {
	k := newKit(t, &agentcorecontrol.Service, served(&agentcore.Service))
	k.serve["GetAgentCard"] = func(context.Context, any) (any, error) {
		return &agentcore.GetAgentCardResponse{AgentCard: []byte("{not json")}, nil
	}
	w := k.call(t, "bedrock-agentcore", "GET", "/runtimes/hello/invocations/.well-known/agent-card.json", "")
	if got := parseRefusal(t, w.Body); w.Code != 500 || got.Type != "InternalServerException" {
		t.Errorf("%d %+v", w.Code, got)
	}
	if len(k.audit.records) != 1 {
		t.Errorf("%d records of one call", len(k.audit.records))
	}
}

// TestHead has the head of the answer and no body, of errors too.
func TestHead(t *testing.T) {
	k := newKit(t, &s3.Service)
	k.serve["HeadObject"] = func(context.Context, any) (any, error) {
		n := int64(5)
		return &s3.HeadObjectOutput{ContentLength: &n, ETag: str(`"e"`)}, nil
	}
	k.serve["HeadBucket"] = func(context.Context, any) (any, error) {
		return nil, fault.New("NoSuchBucket", 404, "The specified bucket does not exist")
	}
	s := k.serveHTTP(t)
	if res := send(t, s, "s3", "HEAD", "/b/k", ""); res.StatusCode != 200 || res.ContentLength != 5 || res.Header.Get("Etag") != `"e"` {
		t.Errorf("%d %d %v", res.StatusCode, res.ContentLength, res.Header)
	}
	if res := send(t, s, "s3", "HEAD", "/b", ""); res.StatusCode != 404 || readAll(t, res.Body) != "" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

// TestLargeRefusedBody lets a client that writes all before it reads see why it
// was refused.
func TestLargeRefusedBody(t *testing.T) {
	k := newKit(t)
	s := k.serveHTTP(t)
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+invokePath, strings.NewReader(strings.Repeat("x", 200<<10)))
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := parseRefusal(t, res.Body); res.StatusCode != 403 || got.Message != "Missing Authentication Token" {
		t.Errorf("%d %+v", res.StatusCode, got)
	}
}

// TestEventStreams sends every event of every stream and an error at the end,
// and lets the SDK's client read them.
func TestEventStreams(t *testing.T) {
	svc := served(&agentcore.Service)
	k := newKit(t, &agentcorecontrol.Service, svc)
	s := k.serveHTTP(t)
	streams := 0
	for i := range svc.Operations {
		op := &svc.Operations[i]
		if op.Upgrade {
			continue
		}
		out := svc.Shape(op.Output)
		m := out.PayloadMember()
		if m == nil || !svc.Shape(m.Shape).EventStream {
			continue
		}
		streams++
		t.Run(op.Name, func(t *testing.T) {
			events := sampleEvents(t, svc, svc.Shape(m.Shape), reflect.ValueOf(op.NewOutput()).Elem().Field(out.Payload-1).Type())
			end := fault.New("ThrottlingException", 429, "slow down")
			if op.Name == "InvokeHarness" { // has no such error in its stream
				end = fault.Validation("not so")
			}
			k.serve[op.Name] = func(context.Context, any) (any, error) {
				answer := reflect.ValueOf(op.NewOutput())
				answer.Elem().Field(out.Payload - 1).Set(sequence(answer.Elem().Field(out.Payload-1).Type(), events, end))
				return answer.Interface(), nil
			}
			checkStream(t, streamClient(t, s, svc, op), op, events, end)
		})
	}
	if streams != 3 {
		t.Errorf("%d operations answer with events, want 3", streams)
	}
}

// sampleEvents makes one event of each kind that is no error, with all members set.
func sampleEvents(t *testing.T, svc *schema.Service, stream *schema.Shape, seq reflect.Type) []reflect.Value {
	t.Helper()
	g := newValuegen(svc)
	g.all = true
	event := seq.In(0).In(0).Elem() // of func(yield func(*Event, error) bool)
	var out []reflect.Value
	for i := range stream.Members {
		if svc.Shape(stream.Members[i].Shape).Status != 0 {
			continue
		}
		e := reflect.New(event)
		if !g.member(e.Elem(), stream, i) {
			t.Fatalf("no %s can be made", stream.Members[i].Name)
		}
		out = append(out, e)
	}
	return out
}

// sequence is the iter.Seq2 of the events, and of an error after them.
func sequence(typ reflect.Type, events []reflect.Value, end error) reflect.Value {
	return reflect.MakeFunc(typ, func(args []reflect.Value) []reflect.Value {
		yield := func(e reflect.Value, err reflect.Value) bool { return args[0].Call([]reflect.Value{e, err})[0].Bool() }
		for _, e := range events {
			if !yield(e, reflect.Zero(reflect.TypeFor[error]())) {
				return nil
			}
		}
		failure := reflect.New(reflect.TypeFor[error]()).Elem()
		failure.Set(reflect.ValueOf(end))
		yield(reflect.Zero(events[0].Type()), failure)
		return nil
	})
}

// checkStream calls the operation with the SDK's client and compares what it
// reads with what was sent.
func checkStream(t *testing.T, client *bedrockagentcore.Client, op *schema.Operation, events []reflect.Value, end *fault.Error) {
	t.Helper()
	method := reflect.ValueOf(client).MethodByName(op.Name)
	input := reflect.New(method.Type().In(1).Elem())
	result := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), input})
	if !result[1].IsNil() {
		t.Fatal(result[1].Interface())
	}
	stream := result[0].MethodByName("GetStream").Call(nil)[0]
	read := stream.MethodByName("Events").Call(nil)[0]
	for _, want := range events {
		got, ok := read.Recv()
		if !ok {
			t.Fatalf("the stream ended early: %v", stream.MethodByName("Err").Call(nil)[0])
		}
		if a, b := plainValue(got), plainValue(want); !reflect.DeepEqual(a, b) {
			t.Errorf("the client reads\n%v, want\n%v", a, b)
		}
	}
	if e, ok := read.Recv(); ok {
		t.Errorf("there is one more event: %v", e)
	}
	err, _ := stream.MethodByName("Err").Call(nil)[0].Interface().(error)
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != end.Code || api.ErrorMessage() != end.Message {
		t.Errorf("the stream ends with %v, want %v", err, end)
	}
}

// streamClient is the SDK's client as far as it reads answers: the request it
// sends is our own.
func streamClient(t *testing.T, s *httptest.Server, svc *schema.Service, op *schema.Operation) *bedrockagentcore.Client {
	t.Helper()
	in := op.NewInput()
	if !newValuegen(svc).fill(reflect.ValueOf(in).Elem(), svc.Shape(op.Input)) {
		t.Fatal("no input")
	}
	w := writeRequest(t, svc, op, in)
	return bedrockagentcore.New(bedrockagentcore.Options{
		Region: testRegion,
		HTTPClient: smithyhttp.ClientDoFunc(func(*http.Request) (*http.Response, error) {
			r, err := http.NewRequestWithContext(t.Context(), w.method, s.URL+w.target(), strings.NewReader(w.body))
			if err != nil {
				return nil, err
			}
			for name, values := range w.header {
				r.Header[name] = values
			}
			if r.Header.Get("Content-Type") == "" {
				r.Header.Set("Content-Type", "application/json")
			}
			return s.Client().Do(sign(t, r, svc.SigningName, w.body))
		}),
		APIOptions: []func(*middleware.Stack) error{func(stack *middleware.Stack) error {
			stack.Initialize.Clear()
			stack.Serialize.Clear()
			stack.Build.Clear()
			stack.Finalize.Clear()
			return nil
		}},
	})
}

// plainValue turns our events and the SDK's into the same maps: member names in
// lower case, a union as a map of its one member, and what is not set left out.
func plainValue(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		return plainValue(v.Elem())
	case reflect.Interface: // the SDK's unions and documents
		e := v.Elem()
		if e.Kind() == reflect.Pointer {
			e = e.Elem()
		}
		if _, member, ok := strings.Cut(e.Type().Name(), "Member"); ok {
			return map[string]any{strings.ToLower(member): plainValue(e.FieldByName("Value"))}
		}
		if d, ok := v.Interface().(interface{ MarshalSmithyDocument() ([]byte, error) }); ok {
			b, _ := d.MarshalSmithyDocument()
			return string(b)
		}
		return plainValue(e)
	case reflect.Struct:
		if at, ok := v.Interface().(time.Time); ok {
			return at.UTC()
		}
		out := map[string]any{}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.IsExported() && !v.Field(i).IsZero() {
				out[strings.ToLower(f.Name)] = plainValue(v.Field(i))
			}
		}
		return out
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return string(v.Bytes())
		}
		out := []any{}
		for i := range v.Len() {
			out = append(out, plainValue(v.Index(i)))
		}
		return out
	case reflect.Map:
		out := map[string]any{}
		for _, k := range v.MapKeys() {
			out[k.String()] = plainValue(v.MapIndex(k))
		}
		return out
	case reflect.String:
		return v.String()
	}
	return fmt.Sprint(v.Interface())
}
