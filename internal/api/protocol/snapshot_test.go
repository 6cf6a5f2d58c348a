package protocol

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// responseSnapshots is how many there are in the two modules of the Go SDK that
// go.mod names, those of errors included. It changes with them.
const responseSnapshots = 267

// answer is an HTTP answer as its bytes.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// TestResponseSnapshots reads every answer that the Go SDK's own tests hold
// into our types, writes it with our encoder and lets the SDK's client read
// both: it must see the same.
func TestResponseSnapshots(t *testing.T) {
	count := 0
	for module, svc := range map[string]*schema.Service{"bedrockagentcore": &agentcore.Service, "bedrockagentcorecontrol": &agentcorecontrol.Service} {
		files, err := filepath.Glob(filepath.Join(moduleDir(t, module), "response_snapshot", "*.snap"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			count++
			name, kind, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".snap"), ".")
			t.Run(module+"/"+name, func(t *testing.T) {
				snapshot := parseAnswer(t, file)
				op := svc.Operation(name)
				if kind == "error" {
					op = operationWithError(svc, name)
				}
				if op == nil {
					t.Fatalf("the table has no operation for %s", name)
				}
				ours := encodeOutput
				if kind == "error" {
					ours = encodeFault
				}
				want, wantErr := clientReads(t, svc, op, snapshot)
				got, gotErr := clientReads(t, svc, op, ours(t, svc, op, snapshot))
				if !reflect.DeepEqual(got, want) {
					t.Errorf("the client reads\n%+v, want\n%+v", got, want)
				}
				if (kind == "error") != (wantErr != nil) || !reflect.DeepEqual(gotErr, wantErr) {
					t.Errorf("the client fails with\n%#v, want\n%#v", gotErr, wantErr)
				}
			})
		}
	}
	t.Logf("%d response snapshots", count)
	if count != responseSnapshots {
		t.Errorf("there are %d response snapshots, want %d", count, responseSnapshots)
	}
}

// moduleDir is the folder of a service module of the Go SDK in the module cache.
func moduleDir(t *testing.T, service string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go-v2/service/"+service).Output()
	if err != nil {
		t.Fatalf("find the module of %s: %v", service, err)
	}
	return strings.TrimSpace(string(out))
}

// operationWithError returns an operation of the model that declares the error. An
// error of no operation is read by any.
func operationWithError(svc *schema.Service, name string) *schema.Operation {
	sdk := reflect.ValueOf(client(svc, answer{}))
	for i := range svc.Operations {
		op := &svc.Operations[i]
		if !sdk.MethodByName(op.Name).IsValid() {
			continue // the model lacks it
		}
		if slices.ContainsFunc(op.Errors, func(e int) bool { return svc.Shape(e).Name == name }) {
			return op
		}
	}
	return &svc.Operations[0]
}

// parseAnswer reads a snapshot: a status line, headers, and the body.
func parseAnswer(t *testing.T, file string) answer {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	line, rest, _ := strings.Cut(string(raw), "\n")
	a := answer{header: http.Header{}}
	if a.status, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		t.Fatal(err)
	}
	for {
		head, after, _ := strings.Cut(rest, "\n")
		if head == "" {
			a.body = []byte(after)
			return a
		}
		name, value, _ := strings.Cut(head, ": ")
		a.header.Add(name, value)
		rest = after
	}
}

// encodeOutput reads the snapshot into the output's type and encodes that.
func encodeOutput(t *testing.T, svc *schema.Service, op *schema.Operation, a answer) answer {
	t.Helper()
	out := op.NewOutput()
	sh, v := svc.Shape(op.Output), reflect.ValueOf(out).Elem()
	c := Call{Service: svc, Operation: op, RequestID: "r"}
	if err := bind(c, &http.Request{Header: a.header, URL: &url.URL{}}, nil, sh, v); err != nil {
		t.Fatal(err)
	}
	switch m := sh.PayloadMember(); {
	case m != nil && m.Streaming:
		v.Field(sh.Payload - 1).Set(reflect.ValueOf(io.NopCloser(bytes.NewReader(a.body))))
	case m != nil:
		if err := decodePayload(c, m, a.body, v.Field(sh.Payload-1)); err != nil {
			t.Fatal(err)
		}
	case len(a.body) > 0:
		if err := UnmarshalJSON(svc, op.Output, a.body, out); err != nil {
			t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	if err := For(svc.Protocol).Encode(c, w, out); err != nil {
		t.Fatal(err)
	}
	return recorded(w)
}

// encodeFault makes the fault.Error that a service would return and encodes it.
func encodeFault(t *testing.T, svc *schema.Service, op *schema.Operation, a answer) answer {
	t.Helper()
	var body struct {
		Type      string `json:"__type"`
		Message   string
		Reason    string
		FieldList []fault.Field
		// Members of one error each.
		SubscriptionURL string
		ProductName     string
	}
	if err := decodeStrict(a.body, &body); err != nil {
		t.Fatal(err)
	}
	f := fault.New(body.Type, a.status, "%s", body.Message)
	f.Reason, f.Fields = body.Reason, body.FieldList
	if body.SubscriptionURL != "" {
		f.Members = map[string]string{"subscriptionUrl": body.SubscriptionURL, "productName": body.ProductName}
	}
	w := httptest.NewRecorder()
	if err := For(svc.Protocol).EncodeError(Call{Service: svc, Operation: op, RequestID: "r"}, w, f); err != nil {
		t.Fatal(err)
	}
	return recorded(w)
}

func recorded(w *httptest.ResponseRecorder) answer {
	return answer{status: w.Code, header: w.Header(), body: w.Body.Bytes()}
}

// clientReads calls the operation on the SDK's client, whose server answers a.
// Only what follows the transport is left of the client's middleware.
func clientReads(t *testing.T, svc *schema.Service, op *schema.Operation, a answer) (any, error) {
	t.Helper()
	method := reflect.ValueOf(client(svc, a)).MethodByName(op.Name)
	if !method.IsValid() {
		t.Fatalf("the SDK's client has no %s", op.Name)
	}
	in := reflect.New(method.Type().In(1).Elem())
	result := method.Call([]reflect.Value{reflect.ValueOf(context.Background()), in})
	if err, failed := result[1].Interface().(error); failed {
		var api smithy.APIError
		if !errors.As(err, &api) {
			t.Fatal(err)
		}
		return nil, api
	}
	out := result[0].Elem()
	out.FieldByName("ResultMetadata").SetZero()
	for i := range out.NumField() {
		if !out.Type().Field(i).IsExported() {
			continue
		}
		if r, ok := out.Field(i).Interface().(io.Reader); ok {
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			return []any{string(b), withoutReader(out, i)}, nil
		}
	}
	return out.Interface(), nil
}

func withoutReader(out reflect.Value, i int) any {
	out.Field(i).SetZero()
	return out.Interface()
}

// client is the SDK's client of the service.
func client(svc *schema.Service, a answer) any {
	server := smithyhttp.ClientDoFunc(func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: a.status, Header: a.header.Clone(), Request: r,
			ContentLength: int64(len(a.body)), Body: io.NopCloser(bytes.NewReader(a.body)),
		}, nil
	})
	strip := []func(*middleware.Stack) error{func(s *middleware.Stack) error {
		s.Initialize.Clear()
		s.Serialize.Clear()
		s.Build.Clear()
		s.Finalize.Clear()
		return nil
	}}
	if svc == &agentcore.Service {
		return bedrockagentcore.New(bedrockagentcore.Options{Region: "us-east-1", HTTPClient: server, APIOptions: strip})
	}
	return bedrockagentcorecontrol.New(bedrockagentcorecontrol.Options{Region: "us-east-1", HTTPClient: server, APIOptions: strip})
}

func decodeStrict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
