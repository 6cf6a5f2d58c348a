package lambda

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/lambda"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
)

// TestLife has a function be made, invoked, changed and deleted.
func TestLife(t *testing.T) {
	with(t, nil, func(r *rig) {
		c := r.create("f")
		if *c.State != active || *c.LastUpdateStatus != successful || c.StateReason != nil || *c.FunctionArn != "arn:aws:lambda:us-west-2:111122223333:function:f" ||
			*c.Timeout != 3 || *c.MemorySize != 128 || *c.Version != "$LATEST" || *c.PackageType != "Zip" {
			r.Errorf("active: %s", text(c))
		}
		r.answers(func(w http.ResponseWriter, req *http.Request) {
			r.engine.Print(false, "said\nhalf a line")
			_, _ = w.Write([]byte(`{"n":1}`))
		})
		res := r.invoke("f", `{"a":1}`)
		if string(res.Payload) != `{"n":1}` || res.FunctionError != "" || res.Version != Latest {
			r.Errorf("answer %+v", res)
		}
		lines := strings.Split(string(res.Log), "\n")
		if lines[0] != "START RequestId: "+res.RequestID+" Version: $LATEST" || lines[1] != "said" || lines[2] != "half a line" || lines[3] != "END RequestId: "+res.RequestID ||
			!strings.HasPrefix(lines[4], "REPORT RequestId: "+res.RequestID+"\tDuration: ") || !strings.Contains(lines[4], "Memory Size: 128 MB") {
			r.Errorf("log %q", res.Log)
		}
		if !strings.Contains(r.logs.text(), "/aws/lambda/f said\n/aws/lambda/f half a line\n/aws/lambda/f END") {
			r.Errorf("log group: %s", r.logs.text())
		}
		starts := r.engine.Starts()
		r.invoke(*c.FunctionArn, "{}")
		if r.engine.Starts() != starts {
			r.Error("an idle environment was not used again")
		}
		if resumed := r.engine.Resumes(); resumed != 1 {
			r.Errorf("%d environments were restored, want the one", resumed)
		}
		h := r.asked[1]
		if h.Get(headerARN) != *c.FunctionArn || h.Get(headerStream) == "" || h.Get(headerDeadline) == "" {
			r.Errorf("the guest was told %v", h)
		}

		if _, err := r.api.UpdateFunctionCode(r.root(), &lambda.UpdateFunctionCodeRequest{FunctionName: new("f"), ZipFile: archive(r, "m.py", "# other")}); err != nil {
			r.Fatal(err)
		}
		if _, err := r.api.UpdateFunctionCode(r.root(), &lambda.UpdateFunctionCodeRequest{FunctionName: new("f"), ZipFile: archive(r, "m.py", "# third")}); err == nil {
			r.Error("two updates at once")
		} else {
			refused(r, err, "ResourceConflictException", "An update is in progress for resource: arn:aws:lambda")
		}
		d := r.settled("f")
		if *d.CodeSha256 == *c.CodeSha256 || *d.RevisionId == *c.RevisionId {
			r.Errorf("updated: %s", text(d))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := r.engine.Alive(); n != 0 {
			r.Errorf("%d environments of the version before go on", n)
		}
		r.invoke("f", "{}")

		if _, err := r.api.DeleteFunction(r.root(), &lambda.DeleteFunctionRequest{FunctionName: new("f")}); err != nil {
			r.Fatal(err)
		}
		_, err := r.Invoke(r.Context(), Invocation{Scope: here, Function: "f"})
		refused(r, err, "ResourceNotFoundException", "Function not found: arn:aws:lambda:us-west-2:111122223333:function:f")
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := r.engine.Alive(); n != 0 {
			r.Errorf("%d environments outlive their function", n)
		}
	})
}

// TestTimeout ends an environment that does not answer.
func TestTimeout(t *testing.T) {
	with(t, nil, func(r *rig) {
		r.create("f")
		r.answers(func(_ http.ResponseWriter, req *http.Request) {
			_, _ = io.Copy(io.Discard, req.Body) // it is told of its client's end after that alone
			<-req.Context().Done()
		})
		begun := time.Now()
		res := r.invoke("f", "{}")
		want := `{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: ` + res.RequestID + ` Error: Task timed out after 3.00 seconds"}`
		if took := time.Since(begun); res.FunctionError != unhandled || string(res.Payload) != want || took < 3*time.Second || took > 4*time.Second {
			r.Errorf("after %v: %+v %s", took, res, res.Payload)
		}
		if !strings.Contains(string(res.Log), res.RequestID+" Task timed out after 3.00 seconds\nEND RequestId: ") {
			r.Errorf("log %q", res.Log)
		}
		time.Sleep(time.Minute)
		if n := r.engine.Alive(); n != 0 {
			r.Errorf("%d environments that timed out are alive", n)
		}
	})
}

// TestStorage gives a function the /tmp that it asks for, and memory for it only where
// that is what it lies in.
func TestStorage(t *testing.T) {
	for inMemory, large := range map[bool]int64{false: 256, true: 256 + 9_728} {
		with(t, func(c *Config) { c.FilesInMemory = inMemory }, func(r *rig) {
			for name, one := range map[string]struct{ tmp, memory int64 }{"small": {512, 256}, "large": {10_240, large}} {
				in := request(r, name)
				in.EphemeralStorage = &lambda.EphemeralStorage{Size: new(int32(one.tmp))}
				_, err := r.api.CreateFunction(r.root(), in)
				must(r, err)
				r.settled(name)
				specs := r.engine.Specs()
				if s := specs[len(specs)-1]; s.TmpBytes != one.tmp<<20 || s.Limits.MemoryBytes != one.memory<<20 {
					r.Errorf("%s, in memory %t: /tmp of %d MiB in memory of %d MiB", name, inMemory, s.TmpBytes>>20, s.Limits.MemoryBytes>>20)
				}
			}
		})
	}
}

// TestStandardError is in the log of an invocation, too.
func TestStandardError(t *testing.T) {
	with(t, nil, func(r *rig) {
		r.create("f")
		r.answers(func(http.ResponseWriter, *http.Request) { r.engine.Print(true, "a warning\n") })
		if res := r.invoke("f", "{}"); !strings.Contains(string(res.Log), "\na warning\n") || !strings.Contains(r.logs.text(), "/aws/lambda/f a warning") {
			r.Errorf("log %q, group %s", res.Log, r.logs.text())
		}
	})
}

// TestPayload refuses what is no JSON.
func TestPayload(t *testing.T) {
	with(t, nil, func(r *rig) {
		r.create("f")
		for payload, why := range map[string]string{"{x": "not valid JSON", "\"\xff\"": "not UTF-8"} {
			_, err := r.Invoke(r.Context(), Invocation{Scope: here, Function: "f", Payload: []byte(payload)})
			refused(r, err, "InvalidRequestContentException", why)
		}
	})
}

// TestJSONLog has Lambda's own lines of a log be JSON, as many as the level says.
func TestJSONLog(t *testing.T) {
	with(t, nil, func(r *rig) {
		c := r.create("f")
		if l := c.LoggingConfig; *l.LogFormat != "Text" || l.ApplicationLogLevel != nil || l.SystemLogLevel != nil {
			r.Errorf("by default: %s", text(l))
		}
		logging := func(l *lambda.LoggingConfig) *lambda.LoggingConfig {
			_, err := r.api.UpdateFunctionConfiguration(r.root(), &lambda.UpdateFunctionConfigurationRequest{FunctionName: new("f"), LoggingConfig: l})
			must(r, err)
			return r.settled("f").LoggingConfig
		}
		if l := logging(&lambda.LoggingConfig{LogFormat: new("JSON")}); *l.LogFormat != "JSON" || *l.ApplicationLogLevel != "INFO" || *l.SystemLogLevel != "INFO" || *l.LogGroup != "/aws/lambda/f" {
			r.Errorf("JSON: %s", text(l))
		}
		// lines are the log's, without what differs from run to run.
		lines := func() string {
			res := r.invoke("f", "{}")
			log := strings.ReplaceAll(string(res.Log), res.RequestID, "ID")
			return regexp.MustCompile(`"time":"[^"]+Z",|("[a-zA-Z]+Ms":)[0-9.]+`).ReplaceAllString(log, "$1")
		}
		const start, metrics = `{"type":"platform.start","record":{"requestId":"ID","version":"$LATEST"}}` + "\n", `"metrics":{"durationMs":,"billedDurationMs":,"memorySizeMB":128,"maxMemoryUsedMB":0`
		r.invoke("f", "{}") // the first takes time to start
		if got := lines(); got != start+`{"type":"platform.report","record":{"requestId":"ID","status":"success",`+metrics+"}}}\n" {
			r.Errorf("%s", got)
		}
		r.answers(func(_ http.ResponseWriter, req *http.Request) {
			_, _ = io.Copy(io.Discard, req.Body)
			<-req.Context().Done()
		})
		const late = `{"type":"platform.report","record":{"requestId":"ID","status":"timeout","errorType":"Sandbox.Timedout",` + metrics
		if got := lines(); got != start+late+"}}}\n" {
			r.Errorf("%s", got)
		}
		if l := logging(&lambda.LoggingConfig{LogFormat: new("JSON"), ApplicationLogLevel: new("DEBUG"), SystemLogLevel: new("WARN")}); *l.ApplicationLogLevel != "DEBUG" || *l.SystemLogLevel != "WARN" {
			r.Errorf("levels: %s", text(l))
		}
		if got := lines(); !strings.HasPrefix(got, late) {
			r.Errorf("what is a warning: %s", got)
		}
		r.answers(nil)
		if got := lines(); got != "" {
			r.Errorf("what is none: %s", got)
		}
		_, err := r.api.UpdateFunctionConfiguration(r.root(), &lambda.UpdateFunctionConfigurationRequest{FunctionName: new("f"), LoggingConfig: &lambda.LoggingConfig{SystemLogLevel: new("WARN")}})
		refused(r, err, "InvalidParameterValueException", "need LogFormat JSON")
		in := request(r, "g")
		in.LoggingConfig = &lambda.LoggingConfig{LogFormat: new("Text"), ApplicationLogLevel: new("WARN")}
		_, err = r.api.CreateFunction(r.root(), in)
		refused(r, err, "InvalidParameterValueException", "need LogFormat JSON")
	})
}

// TestDeletedMeanwhile ends an invocation with its function, and does not begin it again
// in another environment.
func TestDeletedMeanwhile(t *testing.T) {
	with(t, nil, func(r *rig) {
		r.create("f")
		r.invoke("f", "{}") // its environment is used again
		starts := r.engine.Starts()
		r.answers(func(_ http.ResponseWriter, req *http.Request) {
			_, _ = io.Copy(io.Discard, req.Body)
			<-req.Context().Done()
		})
		failure := make(chan error)
		go func() {
			_, err := r.Invoke(r.Context(), Invocation{Scope: here, Function: "f"})
			failure <- err
		}()
		synctest.Wait()
		_, err := r.api.DeleteFunction(r.root(), &lambda.DeleteFunctionRequest{FunctionName: new("f")})
		must(r, err)
		refused(r, <-failure, "ServiceException", "The environment of the function was stopped before it answered.")
		if n := len(r.asked); n != 2 || r.engine.Starts() != starts {
			r.Errorf("it was invoked %d times, in %d new environments", n, r.engine.Starts()-starts)
		}
	})
}

// TestCrash words how an environment ended.
func TestCrash(t *testing.T) {
	for _, one := range []struct {
		exit      sandbox.Status
		kind, end string
	}{
		{sandbox.Status{Cause: sandbox.Exited, Code: 3}, "Runtime.ExitError", "Runtime exited with error: exit status 3"},
		{sandbox.Status{Cause: sandbox.Exited}, "Runtime.ExitError", "Runtime exited without providing a reason"},
		{sandbox.Status{Cause: sandbox.OutOfMemory}, "Runtime.OutOfMemory", "Runtime exited with error: signal: killed"},
	} {
		with(t, nil, func(r *rig) {
			r.create("f")
			r.answers(func(http.ResponseWriter, *http.Request) { r.engine.End(one.exit) })
			res := r.invoke("f", "{}")
			if want := `{"errorType":"` + one.kind + `","errorMessage":"RequestId: ` + res.RequestID + ` Error: ` + one.end + `"}`; string(res.Payload) != want || res.FunctionError != unhandled {
				r.Errorf("%s, want %s", res.Payload, want)
			}
			r.answers(nil)
			if res := r.invoke("f", `{"b":2}`); string(res.Payload) != `{"b":2}` {
				r.Errorf("after the crash: %+v", res)
			}
		})
	}
}

// TestConcurrency gives each invocation an environment, up to as many as there may be.
func TestConcurrency(t *testing.T) {
	with(t, nil, func(r *rig) {
		r.create("f")
		release := make(chan struct{})
		r.answers(func(http.ResponseWriter, *http.Request) { <-release })
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() { r.invoke("f", "{}") })
		}
		synctest.Wait()
		_, err := r.Invoke(r.Context(), Invocation{Scope: here, Function: "f"})
		refused(r, err, "TooManyRequestsException", "Rate Exceeded.")
		if f := fault.From(err); f.Members["Reason"] != "ConcurrentInvocationLimitExceeded" || f.Status != http.StatusTooManyRequests {
			r.Errorf("%+v", f)
		}
		close(release)
		all.Wait()
		r.answers(nil)
		r.invoke("f", "{}")
	})
}

// TestIdle ends environments that nobody invokes.
func TestIdle(t *testing.T) {
	with(t, nil, func(r *rig) {
		r.create("f")
		r.invoke("f", "{}")
		if n := r.engine.Alive(); n != 1 {
			r.Fatalf("%d environments", n)
		}
		time.Sleep(idleLimit + time.Minute)
		if n := r.engine.Alive(); n != 0 {
			r.Errorf("%d environments after %v", n, idleLimit)
		}
		if res := r.invoke("f", `1`); string(res.Payload) != "1" {
			r.Errorf("%+v", res)
		}
	})
}

// TestInterpreters chooses the nearest, and says so.
func TestInterpreters(t *testing.T) {
	with(t, nil, func(r *rig) {
		in := request(r, "near")
		in.Runtime = new("python3.14")
		_, err := r.api.CreateFunction(r.root(), in)
		must(r, err)
		c := r.settled("near")
		if *c.State != active || !strings.Contains(*c.StateReason, "no interpreter for python3.14; the function is run by the nearest, python 3.13.1") {
			r.Errorf("%s", text(c))
		}
		if res := r.invoke("near", "{}"); !strings.Contains(string(res.Log), "no interpreter for python3.14") {
			r.Errorf("log %q", res.Log)
		}
		in = request(r, "none")
		in.Runtime, in.Handler = new("nodejs22.x"), new("index.handler")
		_, err = r.api.CreateFunction(r.root(), in)
		must(r, err)
		c = r.settled("none")
		if *c.State != failed || *c.StateReasonCode != "InvalidRuntime" || !strings.Contains(*c.StateReason, "it has no Node.js at all") {
			r.Errorf("%s", text(c))
		}
		_, err = r.Invoke(r.Context(), Invocation{Scope: here, Function: "none"})
		refused(r, err, "ResourceConflictException", "currently in the following state: Failed")

		r.mu.Lock()
		r.found = append(r.found, image.Interpreter{Runtime: "NODE_20", Version: "20.1.0", Executable: "/usr/bin/env"})
		r.mu.Unlock()
		_, err = r.api.UpdateFunctionConfiguration(r.root(), &lambda.UpdateFunctionConfigurationRequest{FunctionName: new("none"), Timeout: new(int32(9))})
		must(r, err)
		if c = r.settled("none"); *c.State != active || *c.Timeout != 9 {
			r.Errorf("after the interpreter came: %s", text(c))
		}
	})
}

// TestApart orders versions by how near they are.
func TestApart(t *testing.T) {
	for i, have := range []string{"3.12", "3.13", "3.11", "3.14", "3.10"} {
		if got := apart("3.12", have); got != []int{0, 2, 3, 4, 5}[i] {
			t.Errorf("3.12 and %s are %d apart", have, got)
		}
	}
}

// TestEvent tries an asynchronous invocation three times.
func TestEvent(t *testing.T) {
	with(t, nil, func(r *rig) {
		r.create("f")
		var times []time.Time
		r.answers(func(w http.ResponseWriter, _ *http.Request) {
			times = append(times, time.Now())
			w.Header().Set(headerFailed, unhandled)
			_, _ = w.Write([]byte(`{"errorMessage":"no"}`))
		})
		out, err := r.api.Invoke(r.root(), &lambda.InvocationRequest{FunctionName: new("f"), InvocationType: new("Event"), Payload: []byte(`{"secret":1}`)})
		must(r, err)
		if *out.StatusCode != http.StatusAccepted {
			r.Errorf("%s", text(out))
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(times) != 3 || times[1].Sub(times[0]) < time.Minute || times[2].Sub(times[1]) < 2*time.Minute {
			r.Errorf("tried at %v", times)
		}
		if !strings.Contains(r.logs.text(), "the asynchronous invocation request-1 failed for the last time") {
			r.Errorf("log %s", r.logs.text())
		}
		if id := r.asked[0].Get(headerRequestID); id != "request-1" {
			r.Errorf("it was called %s", id)
		}
	})
}

// TestStream passes an answer on as it comes.
func TestStream(t *testing.T) {
	with(t, nil, func(r *rig) {
		r.create("f")
		next := make(chan struct{})
		r.answers(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", trailerFailure)
			_, _ = w.Write([]byte("one"))
			_ = http.NewResponseController(w).Flush()
			<-next
			_, _ = w.Write([]byte("two"))
			w.Header().Set(trailerFailure, "eyJlcnJvck1lc3NhZ2UiOiJtaWQifQ==")
		})
		out, err := r.api.InvokeWithResponseStream(r.root(), &lambda.InvokeWithResponseStreamRequest{FunctionName: new("f"), LogType: new("Tail")})
		must(r, err)
		var got []string
		for e, err := range out.EventStream {
			must(r, err)
			if e.PayloadChunk != nil {
				if got = append(got, string(e.PayloadChunk.Payload)); len(got) == 1 {
					close(next)
				}
				continue
			}
			got = append(got, *e.InvokeComplete.ErrorCode, *e.InvokeComplete.ErrorDetails)
			if e.InvokeComplete.LogResult == nil {
				r.Error("no log")
			}
		}
		if strings.Join(got, " ") != `one two Unhandled {"errorMessage":"mid"}` {
			r.Errorf("%q", got)
		}
		_, err = r.api.InvokeWithResponseStream(r.root(), &lambda.InvokeWithResponseStreamRequest{FunctionName: new("nobody")})
		refused(r, err, "ResourceNotFoundException", "Function not found")
	})
}

// TestAnswerTooLarge bounds answers.
func TestAnswerTooLarge(t *testing.T) {
	with(t, nil, func(r *rig) {
		r.create("f")
		r.answers(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxPayload+answerSlack+1)) })
		if res := r.invoke("f", "{}"); res.FunctionError != unhandled || !strings.Contains(string(res.Payload), "Function.ResponseSizeTooLarge") {
			r.Errorf("%.200s", res.Payload)
		}
	})
}

// TestUnready has a function whose environment does not become ready.
func TestUnready(t *testing.T) {
	with(t, nil, func(r *rig) {
		r.engine.Closed = map[uint16]bool{guestPort: true}
		r.create("f")
		res := r.invoke("f", "{}")
		if res.FunctionError != unhandled || !strings.Contains(string(res.Payload), `"errorType":"Sandbox.Timedout"`) {
			r.Errorf("%s", res.Payload)
		}
	})
}

// other is a remote that knows one function.
type other struct{}

func (other) Invoke(_ context.Context, in Invocation) (Result, error) {
	return Result{Payload: []byte(`"` + in.Function + `"`)}, nil
}

// TestRemote asks elsewhere for what is not here.
func TestRemote(t *testing.T) {
	with(t, func(c *Config) { c.Remote = other{} }, func(r *rig) {
		r.create("f")
		if res := r.invoke("g", "{}"); string(res.Payload) != `"g"` {
			r.Errorf("%+v", res)
		}
		if res := r.invoke("f", "2"); string(res.Payload) != "2" {
			r.Errorf("%+v", res)
		}
	})
}

// TestFullDisk says which setting needs less of it.
func TestFullDisk(t *testing.T) {
	f := fault.From((&Service{}).worded(&session.DiskError{Need: 10 << 30, Free: 3 << 30}))
	if f.Code != "TooManyRequestsException" || !strings.Contains(f.Message, "may write 10240 MiB") || !strings.Contains(f.Message, "A smaller EphemeralStorage needs less.") {
		t.Errorf("%s: %s", f.Code, f.Message)
	}
}
