package lambda

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/api/model/lambda"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/sandbox/sandboxfake"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/snapshot"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/telemetry"
	"github.com/outcrop/outcrop/internal/work"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var here = store.Scope{Account: "111122223333", Region: "us-west-2"}

const testRole = "arn:aws:iam::111122223333:role/f"

// rig is a service whose guests are functions of the test, inside a bubble of synctest.
type rig struct {
	*testing.T
	*Service
	api    api
	engine *sandboxfake.Engine
	logs   *memoryLog

	mu    sync.Mutex
	guest func(w http.ResponseWriter, r *http.Request) // what answers POST /invoke
	asked []http.Header
	found []image.Interpreter
}

// memoryLog keeps log events.
type memoryLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *memoryLog) Append(group telemetry.Group, stream string, _ time.Time, message string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, group.Name+" "+message)
}

func (l *memoryLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// with runs f on a rig and checks that nothing is left afterwards.
func with(t *testing.T, change func(*Config), f func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t, logs: &memoryLog{}, found: []image.Interpreter{python("3.12"), python("3.13")}}
		r.engine = &sandboxfake.Engine{Handler: http.HandlerFunc(r.serve)}
		dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
		ctx, stop := context.WithCancel(context.Background())
		st, err := sqlite.Open(ctx, filepath.Join(dir, "outcrop.db"), sqlite.Options{})
		must(t, err)
		box := secrettest.Box(t)
		templates, err := snapshot.New(ctx, snapshot.Config{Dir: filepath.Join(dir, "snapshots"), Kind: "versions", Box: box, Load: r.engine.Load, Memory: 1 << 20, Now: time.Now, Log: log})
		must(t, err)
		self := store.Owner{Node: "local", Process: "1"}
		sessions := session.NewManager(session.Config{Engine: r.engine, Limit: 10, Log: log, Store: st, Owner: self, Templates: templates})
		must(t, sessions.Recover(ctx))
		code, err := image.NewCache(filepath.Join(dir, "code"), image.DefaultLimits())
		must(t, err)
		cfg := Config{
			Store: st, Code: code, Secrets: box, Sessions: sessions, Logs: r.logs, Dir: filepath.Join(dir, "functions"), Environments: 2, Log: log, Now: time.Now,
			Interpreters: func(context.Context) ([]image.Interpreter, error) {
				r.mu.Lock()
				defer r.mu.Unlock()
				return r.found, nil
			},
		}
		if change != nil {
			change(&cfg)
		}
		r.Service, err = New(cfg)
		must(t, err)
		r.api = api{r.Service}
		jobs := work.New(st, work.Options{Owner: self, Log: log})
		for kind, h := range r.Handlers() {
			must(t, jobs.Register(kind, h, work.Policy{}))
		}
		var running sync.WaitGroup
		for _, run := range []func(context.Context) error{jobs.Run, sessions.Run, r.Service.Run} {
			running.Go(func() { _ = run(ctx) })
		}
		f(r)
		must(t, sessions.Close(context.Background()))
		stop()
		running.Wait()
		if n := r.engine.Alive(); n != 0 {
			t.Errorf("%d sandboxes outlive the manager", n)
		}
		must(t, templates.Close())
		must(t, st.Close())
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func python(version string) image.Interpreter {
	return image.Interpreter{Runtime: "PYTHON_" + strings.ReplaceAll(version, ".", "_"), Version: version + ".1", Executable: "/usr/bin/env", Machine: "x86_64", Libc: "glibc 2.36"}
}

// serve is a guest: it is ready, and says what the test's function says.
func (r *rig) serve(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path != "/invoke" {
		return
	}
	r.mu.Lock()
	r.asked = append(r.asked, req.Header)
	guest := r.guest
	r.mu.Unlock()
	if guest != nil {
		guest(w, req)
	} else {
		_, _ = io.Copy(w, req.Body)
	}
	r.engine.Print(false, "\x1e"+req.Header.Get(headerEnd)+"\x1e")
}

func (r *rig) answers(f func(w http.ResponseWriter, req *http.Request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.guest = f
}

// root is a context of the account's root.
func (r *rig) root() context.Context {
	return pipeline.WithCall(r.Context(), &pipeline.Call{Scope: here, Principal: auth.Principal{Kind: auth.Root, Account: here.Account, ARN: auth.RootARN(here.Account)}, RequestID: "request-1"})
}

// archive is a zip of one file.
func archive(t testing.TB, name, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create(name)
	must(t, err)
	_, err = io.WriteString(f, text)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

func request(t testing.TB, name string) *lambda.CreateFunctionRequest {
	return &lambda.CreateFunctionRequest{
		FunctionName: &name, Runtime: new("python3.13"), Handler: new("m.h"), Role: new(testRole), Code: &lambda.FunctionCode{ZipFile: archive(t, "m.py", "# "+name)},
	}
}

// create makes a function and waits until it has settled.
func (r *rig) create(name string) *lambda.FunctionConfiguration {
	r.Helper()
	out, err := r.api.CreateFunction(r.root(), request(r, name))
	must(r, err)
	if *out.State != pending || *out.StateReasonCode != "Creating" || out.LastUpdateStatus != nil {
		r.Errorf("created: %s", text(out))
	}
	return r.settled(name)
}

// settled is a function after its work.
func (r *rig) settled(name string) *lambda.FunctionConfiguration {
	r.Helper()
	for range 100 {
		out, err := r.api.GetFunctionConfiguration(r.root(), &lambda.GetFunctionConfigurationRequest{FunctionName: &name})
		must(r, err)
		if *out.State != pending && (out.LastUpdateStatus == nil || *out.LastUpdateStatus != inProgress) {
			synctest.Wait() // its snapshot
			return out
		}
		time.Sleep(time.Second) // of the bubble
	}
	r.Fatalf("%s does not settle", name)
	return nil
}

func (r *rig) invoke(name, payload string) Result {
	r.Helper()
	res, err := r.Invoke(r.Context(), Invocation{Scope: here, Function: name, Payload: []byte(payload)})
	must(r, err)
	return res
}

func text(v any) string {
	b, err := json.Marshal(v)
	return fmt.Sprint(string(b), err)
}

// refused checks the name of a refusal.
func refused(t testing.TB, err error, code, part string) {
	t.Helper()
	if f := fault.From(err); err == nil || f.Code != code || !strings.Contains(f.Message, part) {
		t.Errorf("%v, want %s with %q", err, code, part)
	}
}
