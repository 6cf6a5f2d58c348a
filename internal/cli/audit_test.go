package cli

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"
)

const auditRecords = `{"timestamp":"2026-01-02T03:04:07Z","requestId":"r2","eventName":"Converse","service":"bedrock-runtime","region":"us-west-2","principal":"arn:aws:sts::123456789012:assumed-role/hello-role/BedrockAgentCore-1",
	"resources":["arn:aws:bedrock:us-west-2::foundation-model/x.y"],"status":403,"readOnly":false,"errorCode":"AccessDeniedException","errorMessage":"not\nallowed \u001b[2J"},
	{"timestamp":"2026-01-02T03:04:06Z","requestId":"r1","eventName":"ListBuckets","service":"s3","region":"us-east-1","resources":["*"],"status":403,"readOnly":true,"errorCode":"AccessDenied"},
	{"timestamp":"2026-01-02T03:04:05.678Z","requestId":"r0","eventName":"CreateAgentRuntime","service":"bedrock-agentcore-control","region":"us-west-2","principal":"arn:aws:iam::123456789012:root","status":202,"readOnly":false}`

// TestAudit prints records, the oldest first, and asks for those that are wanted.
func TestAudit(t *testing.T) {
	u, f := withServer(t)
	var asked []map[string][]string
	f.audit = func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query())
		fmt.Fprintf(w, `{"records":[%s],"cursor":7}`, auditRecords)
	}
	u.golden("audit/plain", u.run("audit"))
	u.golden("audit/json", u.run("audit", "--json"))
	u.terminal = true
	u.golden("audit/terminal", u.run("audit"))
	asked = nil
	if r := u.run("audit", "--event", "Converse", "--service", "bedrock-runtime", "--principal", "alice", "--resource", "x.y", "--error", "AccessDenied", "--failed",
		"--in", "us-west-2", "--since", "10m", "-n", "5"); r.code != 0 {
		t.Errorf("%s", r)
	}
	q := asked[0]
	since, err := time.Parse(time.RFC3339Nano, q["since"][0])
	if err != nil || time.Since(since).Round(time.Minute) != 10*time.Minute {
		t.Errorf("since %v %v", q["since"], err)
	}
	delete(q, "since")
	if got := fmt.Sprint(q); got != "map[errorCode:[AccessDenied] eventName:[Converse] failed:[true] maxResults:[5] principal:[alice] region:[us-west-2] resource:[x.y] service:[bedrock-runtime]]" {
		t.Error(got)
	}
	f.audit = func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"records":[],"cursor":0}`) }
	u.golden("audit/nothing", u.run("audit", "--event", "Nothing"))
}

// TestAuditPages reads as many pages as it takes, and follows from where it began.
func TestAuditPages(t *testing.T) {
	u, f := withServer(t)
	ctx, interrupt := context.WithCancel(t.Context())
	n := 0
	f.audit = func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		n++
		one := fmt.Sprintf(`{"timestamp":"2026-01-02T03:04:05Z","requestId":"r","eventName":"Call%d","service":"s3","region":"us-east-1","status":200,"readOnly":true}`, n)
		switch {
		case n == 1:
			fmt.Fprintf(w, `{"records":[%s],"cursor":7,"nextToken":"t"}`, one)
		case n == 2:
			if q.Get("nextToken") != "t" {
				t.Errorf("page 2 is asked for as %v", q)
			}
			fmt.Fprintf(w, `{"records":[%s],"cursor":9}`, one)
		default:
			if want := fmt.Sprint(7 + n - 3); q.Get("cursor") != want || q.Get("waitSeconds") != "20" || q.Has("nextToken") {
				t.Errorf("call %d follows as %v", n, q)
			}
			if n == 5 { // who has stopped gets no answer
				interrupt()
				<-r.Context().Done()
				return
			}
			fmt.Fprintf(w, `{"records":[%s],"cursor":%d}`, one, 7+n-2)
		}
	}
	u.golden("audit/follow", u.runContext(ctx, "audit", "-f"))
}
