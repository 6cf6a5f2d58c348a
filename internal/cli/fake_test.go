package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/client"
)

// fake is a server that answers the commands: its runtimes are kept, what they
// say is scripted. It lets in what the server's own verifier lets in.
type fake struct {
	t        *testing.T
	url      string
	closeAll func() error // ends the server as a kill does
	leave    func()       // ends it for whoever comes next; running answers come to their end
	verifier *sigv4.Verifier

	mu        sync.Mutex
	runtimes  map[string]map[string]any // by id
	endpoints []map[string]any          // besides DEFAULT, of all runtimes
	buckets   map[string]bool
	objects   map[string]int64  // by bucket/key, their sizes
	sums      map[string]string // and their checksums
	pools     []client.Pool
	calls     []string
	looks     map[string]int // GetAgentRuntime calls by id, since its last change

	// The script.
	server   string // what GetServer answers
	network  string // what GetNetwork answers
	sessions []string
	spares   []string
	logs     func(query map[string]string) string
	audit    http.HandlerFunc
	prune    http.HandlerFunc
	invoke   http.HandlerFunc
	command  http.HandlerFunc
	socket   func(*websocket.Conn) // the agent's side
	shell    func(*websocket.Conn, *http.Request)
	port     http.HandlerFunc          // a port of a session
	fails    string                    // failureReason of what is created from now on
	conflict func()                    // called once by CreateAgentRuntime, which then is a conflict
	before   func(r *http.Request)     // called before every call is answered
	refused  func(http.ResponseWriter) // answers calls for WebSockets in their place
	now      func() time.Time          // its clock
}

// goodToken is a user's.
const goodToken = "header.claims.signature"

type oneKey struct{}

func (oneKey) Key(_ context.Context, id, _ string) (sigv4.Key, error) {
	if id != testKey {
		return sigv4.Key{}, sigv4.ErrUnknownKey
	}
	return sigv4.Key{Principal: auth.Principal{ID: "root"}, Secret: testSecret}, nil
}

const goodServer = `{"version":"9.9","account":"123456789012","os":"linux","architecture":"amd64","dataDirectory":"/srv/outcrop","processId":42,
"interpreters":[{"runtime":"PYTHON_3_11","version":"3.11.2"},{"runtime":"PYTHON_3_12","version":"3.12.4"},{"runtime":"NODE_22","version":"22.4.0"}],
"sandbox":{"available":true,"engine":"gVisor 20260905"}}`

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{
		t: t, server: goodServer, now: time.Now,
		runtimes: map[string]map[string]any{}, buckets: map[string]bool{}, objects: map[string]int64{}, sums: map[string]string{}, looks: map[string]int{},
	}
	f.verifier = sigv4.New(sigv4.Config{Keys: oneKey{}, SpoolDir: t.TempDir(), Now: func() time.Time { return f.now() }})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_outcrop/v1/server", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, f.server) })
	mux.HandleFunc("GET /_outcrop/v1/network", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, f.network) })
	mux.HandleFunc("GET /_outcrop/v1/sessions", f.listSessions)
	mux.HandleFunc("GET /_outcrop/v1/runtimes/{id}/logs", f.getLogs)
	mux.HandleFunc("GET /_outcrop/v1/audit", func(w http.ResponseWriter, r *http.Request) { f.audit(w, r) })
	mux.HandleFunc("POST /_outcrop/v1/prune", func(w http.ResponseWriter, r *http.Request) { f.prune(w, r) })
	mux.HandleFunc("POST /runtimes/{$}", f.list)
	mux.HandleFunc("PUT /runtimes/{$}", f.create)
	mux.HandleFunc("GET /runtimes/{id}/{$}", f.get)
	mux.HandleFunc("PUT /runtimes/{id}/{$}", f.change)
	mux.HandleFunc("DELETE /runtimes/{id}/{$}", f.remove)
	f.serveEndpoints(mux)
	mux.HandleFunc("POST /runtimes/{arn}/invocations", func(w http.ResponseWriter, r *http.Request) { f.invoke(w, r) })
	mux.HandleFunc("POST /runtimes/{arn}/commands", func(w http.ResponseWriter, r *http.Request) { f.command(w, r) })
	mux.HandleFunc("POST /_outcrop/sessions/{label}/{port}/{path...}", func(w http.ResponseWriter, r *http.Request) { f.port(w, r) })
	mux.HandleFunc("GET /runtimes/{arn}/ws", func(w http.ResponseWriter, r *http.Request) {
		f.upgrade(w, r, func(conn *websocket.Conn) { f.socket(conn) })
	})
	mux.HandleFunc("GET /runtimes/{arn}/ws/shells", func(w http.ResponseWriter, r *http.Request) {
		f.upgrade(w, r, func(conn *websocket.Conn) { f.shell(conn, r) })
	})
	mux.HandleFunc("POST /runtimes/{arn}/stopruntimesession", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"statusCode":200}`) })
	mux.HandleFunc("POST /{$}", f.registry)
	mux.HandleFunc("PUT /{bucket}/{$}", f.makeBucket)
	mux.HandleFunc("PUT /{bucket}", f.makeBucket)
	mux.HandleFunc("PUT /{bucket}/{key...}", f.put)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.authenticate(w, r, mux) }))
	t.Cleanup(s.Close)
	f.url, f.closeAll = s.URL, s.Config.Close
	f.leave = func() {
		_ = s.Listener.Close()
		s.Config.SetKeepAlivesEnabled(false)
	}
	return f
}

func (f *fake) authenticate(w http.ResponseWriter, r *http.Request, next http.Handler) {
	w.Header().Set("x-amzn-RequestId", "11111111-2222-3333-4444-555555555555")
	if r.Header.Get("Authorization") == "Bearer "+goodToken {
		next.ServeHTTP(w, r)
		return
	}
	claim, err := sigv4.Parse(r)
	var id *sigv4.Identity
	if err == nil {
		id, err = f.verifier.Verify(r.Context(), r, claim, sigv4.Expect{})
	}
	if err != nil {
		refusal := sigv4.JSON.Fault(err)
		refuse(w, refusal.Status, refusal.Code, refusal.Message)
		return
	}
	body, err := id.Body()
	if err != nil {
		f.t.Error(err)
		return
	}
	defer func() { _ = body.Close() }()
	r.Body = body
	f.mu.Lock()
	f.calls = append(f.calls, r.Method+" "+r.URL.Path)
	f.mu.Unlock()
	if f.before != nil {
		f.before(r)
	}
	if r.Method == http.MethodHead { // which a pattern for GET would take
		f.head(w, r)
		return
	}
	next.ServeHTTP(w, r)
}

// refuseSockets answers calls for WebSockets from now on.
func (f *fake) refuseSockets(answer http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused = func(w http.ResponseWriter) { answer(w, nil) }
}

// upgrade makes the server's side of a WebSocket.
func (f *fake) upgrade(w http.ResponseWriter, r *http.Request, serve func(*websocket.Conn)) {
	f.mu.Lock()
	refused := f.refused
	f.mu.Unlock()
	if refused != nil {
		refused(w)
		return
	}
	header := http.Header{"X-Amzn-Bedrock-Agentcore-Shell-Id": {cmp.Or(r.URL.Query().Get("shellId"), "made-by-the-server")}}
	conn, err := (&websocket.Upgrader{}).Upgrade(w, r, header)
	if err != nil {
		f.t.Error(err)
		return
	}
	defer conn.Close()
	serve(conn)
}

func refuse(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("x-amzn-ErrorType", code)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": text})
}

func (f *fake) listSessions(w http.ResponseWriter, r *http.Request) {
	page, next, spares := f.sessions, "", f.spares
	if len(page) > 1 { // two pages, to see that both are read
		page, next = page[:1], `,"nextToken":"more"`
	}
	if r.URL.Query().Get("nextToken") == "more" {
		page, next, spares = f.sessions[1:], "", nil
	}
	fmt.Fprintf(w, `{"sessions":[%s],"spares":[%s]%s}`, strings.Join(page, ","), strings.Join(spares, ","), next)
}

func (f *fake) getLogs(w http.ResponseWriter, r *http.Request) {
	query := map[string]string{"id": r.PathValue("id")}
	for name, values := range r.URL.Query() {
		query[name] = values[0]
	}
	fmt.Fprint(w, f.logs(query))
}

// add makes a runtime that is READY.
func (f *fake) add(name string) string {
	id := name + "-0123456789"
	f.runtimes[id] = map[string]any{
		"agentRuntimeName": name, "agentRuntimeId": id, "agentRuntimeVersion": "1", "status": "READY", "description": "",
		"agentRuntimeArn": "arn:aws:bedrock-agentcore:us-east-1:" + testAccount + ":runtime/" + id,
		"createdAt":       "2026-01-01T00:00:00Z", "lastUpdatedAt": time.Now().Add(-3*time.Hour - time.Second).UTC().Format(time.RFC3339),
	}
	return id
}

func (f *fake) list(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rows := []any{}
	for _, runtime := range f.runtimes {
		rows = append(rows, runtime)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"agentRuntimes": rows})
}

func (f *fake) create(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conflict != nil {
		f.conflict()
		f.conflict = nil
		refuse(w, http.StatusConflict, "ConflictException", "An agent with this name exists.")
		return
	}
	in := f.body(r)
	id := f.add(in["agentRuntimeName"].(string))
	f.apply(id, in, "CREATING")
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(f.runtimes[id])
}

func (f *fake) change(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := r.PathValue("id")
	old := f.runtimes[id]
	for _, member := range []string{"description", "environmentVariables", "lifecycleConfiguration", "filesystemConfigurations", "allowedPorts", "hooksConfiguration", "resourceConfigurations"} {
		delete(old, member) // what an update leaves out is cleared
	}
	f.apply(id, f.body(r), "UPDATING")
	old["agentRuntimeVersion"] = "2"
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(old)
}

func (f *fake) apply(id string, in map[string]any, status string) {
	for member, value := range in {
		f.runtimes[id][member] = value
	}
	f.runtimes[id]["status"] = status
	f.looks[id] = 0
}

func (f *fake) body(r *http.Request) map[string]any {
	var in map[string]any
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		f.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	return in
}

// get shows a change that is done at the third look.
func (f *fake) get(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := r.PathValue("id")
	runtime := f.runtimes[id]
	if runtime != nil {
		if f.looks[id]++; f.looks[id] > 2 {
			switch {
			case runtime["status"] == "DELETING":
				delete(f.runtimes, id)
				runtime = nil
			case f.fails != "":
				runtime["status"], runtime["failureReason"] = "CREATE_FAILED", f.fails
			default:
				runtime["status"] = "READY"
			}
		}
	}
	if runtime == nil {
		refuse(w, http.StatusNotFound, "ResourceNotFoundException", "It is not there.")
		return
	}
	_ = json.NewEncoder(w).Encode(runtime)
}

func (f *fake) remove(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case r.URL.Query().Has("version"):
	case len(f.endpoints) > 0:
		refuse(w, http.StatusConflict, "ConflictException", "Agent runtime '"+r.PathValue("id")+"' still has endpoints.")
		return
	default:
		f.apply(r.PathValue("id"), nil, "DELETING")
	}
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprint(w, `{"status":"DELETING"}`)
}

func (f *fake) makeBucket(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	bucket := r.PathValue("bucket")
	if f.buckets[bucket] {
		w.WriteHeader(http.StatusConflict)
		fmt.Fprint(w, `<Error><Code>BucketAlreadyOwnedByYou</Code><Message>yours</Message></Error>`)
		return
	}
	f.buckets[bucket] = true
}

func (f *fake) put(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body) // the verifier checks its hash
	if err != nil || n != r.ContentLength || r.Header.Get("x-amz-checksum-sha256") == "" {
		f.t.Errorf("upload: %d of %d bytes, %v", n, r.ContentLength, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.objects[r.PathValue("bucket")+"/"+r.PathValue("key")] = n
	f.sums[r.PathValue("bucket")+"/"+r.PathValue("key")] = r.Header.Get("x-amz-checksum-sha256")
}

func (f *fake) head(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := strings.TrimPrefix(r.URL.Path, "/")
	n, ok := f.objects[key]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	w.Header().Set("x-amz-checksum-sha256", f.sums[key])
}
