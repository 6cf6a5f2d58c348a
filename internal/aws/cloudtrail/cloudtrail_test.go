package cloudtrail_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model"
	wire "github.com/outcrop/outcrop/internal/api/model/cloudtrail"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/aws/cloudtrail"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/telemetry"
)

var (
	begin = time.Date(2026, 11, 2, 12, 0, 0, 500_000_000, time.UTC)
	home  = store.Scope{Account: "111122223333", Region: "us-west-2"}
)

const agent = "arn:aws:bedrock-agentcore:us-west-2:111122223333:runtime/hello-AbCdEfGhIj"

// records are four calls, a second apart, and one of another account.
func records() []telemetry.Record {
	return []telemetry.Record{
		{Time: begin, RequestID: "r0", Scope: home, Principal: "arn:aws:iam::111122223333:root", AccessKeyID: "AKIDROOT", Event: "CreateAgentRuntime",
			Source: "bedrock-agentcore-control", SourceIP: "127.0.0.1", UserAgent: "aws-cli/2", Resources: []string{agent}, Status: 202},
		{Time: begin.Add(time.Second), RequestID: "r1", Scope: home, Principal: "arn:aws:iam::111122223333:user/team/alice", PrincipalID: "AIDAALICE", AccessKeyID: "AKIDALICE", Event: "GetAgentRuntime",
			Source: "bedrock-agentcore-control", SourceIP: "127.0.0.1", Resources: []string{agent}, Status: 403, ReadOnly: true,
			ErrorCode: "AccessDeniedException", ErrorMessage: "User: alice is not authorized"},
		{Time: begin.Add(2 * time.Second), RequestID: "r2", Scope: home, Principal: "arn:aws:sts::111122223333:assumed-role/hello-role/BedrockAgentCore-1", PrincipalID: "AROAHELLO:BedrockAgentCore-1", AccessKeyID: "ASIA1",
			Event: "Converse", Source: "bedrock-runtime", Resources: []string{"arn:aws:bedrock:us-west-2::foundation-model/x.y"}, Status: 200},
		{Time: begin.Add(3 * time.Second), RequestID: "r3", Scope: home, Event: "GetUser", Source: "cognito-idp", Resources: []string{"*"}, Status: 200, ReadOnly: true},
		{Time: begin, RequestID: "other", Scope: store.Scope{Account: "999999999999", Region: "us-west-2"}, Event: "CreateAgentRuntime", Source: "s3"},
	}
}

func newFront(t *testing.T) (*cloudtrail.Service, func(in *wire.LookupEventsRequest) (*wire.LookupEventsResponse, error)) {
	t.Helper()
	db, err := telemetry.Open(t.Context(), filepath.Join(t.TempDir(), "db"), telemetry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for _, r := range records() {
		if err := db.Audit(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	s := cloudtrail.New(db, model.Services())
	ctx := pipeline.WithCall(t.Context(), &pipeline.Call{Scope: home})
	return s, func(in *wire.LookupEventsRequest) (*wire.LookupEventsResponse, error) { return s.LookupEvents(ctx, in) }
}

func ids(out *wire.LookupEventsResponse) string {
	var all []string
	for _, e := range out.Events {
		all = append(all, *e.EventId)
	}
	return strings.Join(all, " ")
}

// TestAttributes finds records by each attribute, and by time.
func TestAttributes(t *testing.T) {
	_, lookup := newFront(t)
	by := func(key, value string) *wire.LookupEventsRequest {
		return &wire.LookupEventsRequest{LookupAttributes: []wire.LookupAttribute{{AttributeKey: &key, AttributeValue: &value}}}
	}
	for _, tt := range []struct {
		in   *wire.LookupEventsRequest
		want string
	}{
		{&wire.LookupEventsRequest{}, "r3 r2 r1 r0"},
		{by("EventName", "GetAgentRuntime"), "r1"},
		{by("EventId", "r2"), "r2"},
		{by("ReadOnly", "true"), "r3 r1"},
		{by("ReadOnly", "false"), "r2 r0"},
		{by("Username", "root"), "r0"},
		{by("Username", "alice"), "r1"},
		{by("Username", "lice"), ""},
		{by("Username", "BedrockAgentCore-1"), "r2"},
		{by("AccessKeyId", "AKIDALICE"), "r1"},
		{by("ResourceName", agent), "r1 r0"},
		{by("ResourceName", "hello-AbCdEfGhIj"), "r1 r0"},
		{by("ResourceName", "AbCdEfGhIj"), ""},
		{by("EventSource", "bedrock-agentcore.amazonaws.com"), "r1 r0"},
		{by("EventSource", "bedrock.amazonaws.com"), "r2"},
		{by("EventSource", "cognito-idp.amazonaws.com"), "r3"},
		{by("EventSource", "s3.amazonaws.com"), ""},
		{&wire.LookupEventsRequest{StartTime: new(begin.Add(time.Second)), EndTime: new(begin.Add(2 * time.Second))}, "r2 r1"},
	} {
		out, err := lookup(tt.in)
		if err != nil || ids(out) != tt.want {
			t.Errorf("%+v: %v %v, want %s", tt.in, out, err, tt.want)
		}
	}
}

// TestPages go through everything once.
func TestPages(t *testing.T) {
	_, lookup := newFront(t)
	in, all := &wire.LookupEventsRequest{MaxResults: new(int32(3))}, ""
	for {
		out, err := lookup(in)
		if err != nil {
			t.Fatal(err)
		}
		all += ids(out) + "|"
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
	}
	if all != "r3 r2 r1|r0|" {
		t.Error(all)
	}
}

// TestRefusals have CloudTrail's names.
func TestRefusals(t *testing.T) {
	_, lookup := newFront(t)
	a := wire.LookupAttribute{AttributeKey: new("ReadOnly"), AttributeValue: new("yes")}
	for want, in := range map[string]*wire.LookupEventsRequest{
		"InvalidLookupAttributesException: You can only":  {LookupAttributes: []wire.LookupAttribute{a, a}},
		"InvalidLookupAttributesException: The value of":  {LookupAttributes: []wire.LookupAttribute{a}},
		"InvalidTimeRangeException: StartTime must not":   {StartTime: new(begin), EndTime: new(begin.Add(-time.Second))},
		"InvalidNextTokenException: NextToken is not one": {NextToken: new("x")},
	} {
		if _, err := lookup(in); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestRecord: who it was, what it was about, and why it was refused, as CloudTrail's
// readers expect it.
func TestRecord(t *testing.T) {
	_, lookup := newFront(t)
	out, err := lookup(&wire.LookupEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{ // of userIdentity
		`{"type":"Unknown"}`,
		`{"type":"AssumedRole","principalId":"AROAHELLO:BedrockAgentCore-1","arn":"arn:aws:sts::111122223333:assumed-role/hello-role/BedrockAgentCore-1","accountId":"111122223333","accessKeyId":"ASIA1",` +
			`"sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAHELLO","arn":"arn:aws:iam::111122223333:role/hello-role","accountId":"111122223333","userName":"hello-role"}}}`,
		`{"type":"IAMUser","principalId":"AIDAALICE","arn":"arn:aws:iam::111122223333:user/team/alice","accountId":"111122223333","accessKeyId":"AKIDALICE","userName":"alice"}`,
		`{"type":"Root","principalId":"111122223333","arn":"arn:aws:iam::111122223333:root","accountId":"111122223333","accessKeyId":"AKIDROOT"}`,
	}
	for i, e := range out.Events {
		var got struct {
			UserIdentity json.RawMessage `json:"userIdentity"`
		}
		if err := json.Unmarshal([]byte(*e.CloudTrailEvent), &got); err != nil || string(got.UserIdentity) != want[i] {
			t.Errorf("%s %v, want %s", got.UserIdentity, err, want[i])
		}
	}
	e := out.Events[2]
	const full = `"eventTime":"2026-11-02T12:00:01Z","eventSource":"bedrock-agentcore.amazonaws.com","eventName":"GetAgentRuntime","awsRegion":"us-west-2",` +
		`"sourceIPAddress":"127.0.0.1","userAgent":"","errorCode":"AccessDeniedException","errorMessage":"User: alice is not authorized","requestParameters":null,` +
		`"responseElements":null,"requestID":"r1","eventID":"r1","readOnly":true,"resources":[{"ARN":"` + agent + `","accountId":"111122223333"}],` +
		`"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management"}`
	if !strings.HasSuffix(*e.CloudTrailEvent, full) {
		t.Errorf("%s\nwant ...%s", *e.CloudTrailEvent, full)
	}
	if got := fmt.Sprint(*e.Username, *e.ReadOnly, *e.EventSource, *e.AccessKeyId, *e.Resources[0].ResourceName, e.EventTime.UnixMilli()%1000); got != "alicetruebedrock-agentcore.amazonaws.comAKIDALICE"+agent+"0" {
		t.Error(got)
	}
}
