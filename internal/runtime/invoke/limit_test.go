package invoke_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/inbound"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/runtime/invoke"
	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/sandboxfake"
	"github.com/outcrop/outcrop/internal/session"
)

// clock is the service without a network, for fake time. It plans sessions.
type clock struct {
	*testing.T
	*invoke.Service
	engine   *sandboxfake.Engine
	sessions *session.Manager
	maxLife  time.Duration // of its sessions, else 8 hours

	mu    sync.Mutex
	notes []string
}

func (c *clock) Plan(context.Context, session.Key, string) (session.Plan, error) {
	note := func(text string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.notes = append(c.notes, text)
	}
	server := runtime.HTTPServer()
	return session.Plan{
		Port: server.Port, Probe: session.HTTPProbe(server.Port, "/ping"), StartLimit: 30 * time.Second,
		IdleLimit: 15 * time.Minute, MaxLife: cmp.Or(c.maxLife, 8*time.Hour), Detail: runtime.Detail{Server: server, Note: note}, Ended: func(e session.End) { note("ended: " + e.Why) },
	}, nil
}

func (c *clock) Server(context.Context, session.Key) (runtime.Server, error) {
	return runtime.HTTPServer(), nil
}

func (c *clock) Authorizer(context.Context, session.Key) (*inbound.Authorizer, error) {
	return nil, nil
}

// noted wants exactly one note of the agent's doings.
func (c *clock) noted(want ...string) {
	c.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if strings.Join(c.notes, "\n") != strings.Join(want, "\n") {
		c.Errorf("notes %q, want %q", c.notes, want)
	}
	c.notes = nil
}

// bubble runs f in fake time with an agent that serves h.
func bubble(t *testing.T, h http.HandlerFunc, f func(*clock)) {
	synctest.Test(t, func(t *testing.T) {
		c := &clock{T: t, engine: &sandboxfake.Engine{}}
		c.engine.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/ping" {
				h(w, r)
			}
		})
		c.sessions = session.NewManager(session.Config{Engine: c.engine, Limit: 10, Log: slog.New(slog.DiscardHandler)})
		c.Service = invoke.New(invoke.Config{Plans: c, Sessions: c.sessions, Door: &inbound.Door{}})
		f(c)
		if err := c.sessions.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// invoke sends a request as the pipeline would.
func (c *clock) invoke(ctx context.Context) (*agentcore.InvokeAgentRuntimeResponse, error) {
	arn, id := runtime.ARN(runtimetest.Scope(), "agent-0123456789"), runtimetest.SessionID("one")
	ctx = pipeline.WithCall(ctx, &pipeline.Call{Scope: runtimetest.Scope(), RequestID: "r", ContentLength: 2})
	return c.InvokeAgentRuntime(ctx, &agentcore.InvokeAgentRuntimeRequest{
		AgentRuntimeArn: &arn, RuntimeSessionId: &id, Payload: io.NopCloser(strings.NewReader("hi")),
	})
}

// idle wants the session at rest: whatever happened, its use was given back.
func (c *clock) idle() {
	c.Helper()
	synctest.Wait()
	if got := c.sessions.List(func(session.Key) bool { return true }); len(got) != 1 || got[0].Status != session.Idle || got[0].Running != 0 {
		c.Errorf("sessions %+v, want one that is idle", got)
	}
}

// TestEndBeforeAnswer: who is cut off is told how the guest ended, although its end
// is known later than that it hung up.
func TestEndBeforeAnswer(t *testing.T) {
	const closed = "The agent closed the connection before it answered"
	const look = ". Please check your CloudWatch logs for more information."
	for name, tt := range map[string]struct {
		end    sandbox.Status
		after  time.Duration
		begins bool // its answer
		why    string
	}{
		"memory":        {end: sandbox.Status{Cause: sandbox.OutOfMemory, Code: 137, Limit: 8 << 30}, after: 300 * time.Millisecond, why: "it used more memory than it may (8 GiB)"},
		"slow death":    {end: sandbox.Status{Cause: sandbox.OutOfMemory, Code: 137, Limit: 8 << 30}, after: 9 * time.Second, why: "it used more memory than it may (8 GiB)"},
		"slow stream":   {end: sandbox.Status{Cause: sandbox.OutOfMemory, Code: 137, Limit: 8 << 30}, after: 9 * time.Second, begins: true, why: "it used more memory than it may (8 GiB)"},
		"space":         {end: sandbox.Status{Cause: sandbox.OutOfSpace, Code: 137, Limit: 64 << 20}, why: "it wrote more to its storage than it may hold (64 MiB)"},
		"exit":          {end: sandbox.Status{Cause: sandbox.Exited, Code: 3}, after: 100 * time.Millisecond, why: "its process exited with status 3"},
		"in the middle": {end: sandbox.Status{Cause: sandbox.OutOfMemory, Code: 137, Limit: 3 << 29}, after: 300 * time.Millisecond, begins: true, why: "it used more memory than it may (1.5 GiB)"},
	} {
		t.Run(name, func(t *testing.T) {
			var c *clock
			hangUp := func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // or its sender may fail before it reads the answer
				conn, rw, err := http.NewResponseController(w).Hijack()
				if err != nil {
					c.Error(err)
					return
				}
				if tt.begins {
					_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nwell,")
					_ = rw.Flush()
				}
				c.engine.Deafen() // before it hangs up: nobody is served meanwhile
				conn.Close()
				time.AfterFunc(tt.after, func() { c.engine.End(tt.end) })
			}
			bubble(t, hangUp, func(made *clock) {
				c = made
				out, err := c.invoke(c.Context())
				log := "the agent broke off before it answered: " + tt.why
				if tt.begins {
					log = "the agent's answer broke off: " + tt.why
					if err != nil {
						c.Fatal(err)
					}
					if text, err := io.ReadAll(out.Response); err == nil || string(text) != "well," {
						c.Errorf("%q, %v", text, err)
					}
					out.Response.Close()
				} else if f := fault.From(err); f.Message != closed+": "+tt.why+look || f.Code != "RuntimeClientError" {
					c.Errorf("%v", err)
				}
				synctest.Wait()
				c.mu.Lock()
				slices.Sort(c.notes) // two who say it at once
				c.mu.Unlock()
				want := []string{log, "ended: " + tt.why}
				slices.Sort(want)
				c.noted(want...)
			})
		})
	}
}

// TestHangsUp: a guest that lives on after it hung up is known by its answering, and
// one that is deaf for good is not waited for longer than ten seconds.
func TestHangsUp(t *testing.T) {
	for name, tt := range map[string]struct {
		deaf bool
		took time.Duration
	}{"lives": {false, 0}, "deaf": {true, 10 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			var c *clock
			hangUp := func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // it has heard all
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					c.Error(err)
					return
				}
				if tt.deaf {
					c.engine.Deafen()
				}
				conn.Close()
			}
			bubble(t, hangUp, func(made *clock) {
				c = made
				begun := time.Now()
				_, err := c.invoke(c.Context())
				if f := fault.From(err); f.Code != "RuntimeClientError" || !strings.HasPrefix(f.Message, "The agent closed the connection before it answered. ") {
					t.Errorf("%v", err)
				}
				if took := time.Since(begun); took != tt.took {
					t.Errorf("after %v, want %v", took, tt.took)
				}
				c.idle()
				c.noted("the agent broke off before it answered: EOF")
			})
		})
	}
}

// forever never answers, until the caller hangs up.
func forever(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // only then does the server see the hang-up
	<-r.Context().Done()
}

// endless says something each minute.
func endless(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	for r.Context().Err() == nil {
		_, _ = io.WriteString(w, ".")
		_ = http.NewResponseController(w).Flush() // the caller may have left
		select {
		case <-time.After(time.Minute):
		case <-r.Context().Done():
		}
	}
}

func TestAnswerLimit(t *testing.T) {
	bubble(t, forever, func(c *clock) {
		begun := time.Now()
		_, err := c.invoke(c.Context())
		if f := fault.From(err); f.Status != http.StatusGatewayTimeout || f.Code != "RuntimeClientError" || f.Message != "The agent did not answer within 15m0s" {
			t.Errorf("%v", err)
		}
		if took := time.Since(begun).Round(time.Second); took != 15*time.Minute {
			t.Errorf("after %v, want 15 min", took)
		}
		c.idle()
		c.noted("the agent did not begin its answer within 15m0s")
	})
}

// TestSlowAnswerIsFine as long as it begins in time.
func TestSlowAnswerIsFine(t *testing.T) {
	slow := func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(15*time.Minute - time.Second)
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		time.Sleep(59 * time.Minute)
		_, _ = io.WriteString(w, "at last")
	}
	bubble(t, slow, func(c *clock) {
		out, err := c.invoke(c.Context())
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(out.Response); err != nil || string(b) != "at last" {
			t.Errorf("%q, %v", b, err)
		}
		if err := out.Response.Close(); err != nil {
			t.Error(err)
		}
		c.idle()
		c.noted()
	})
}

func TestStreamLimit(t *testing.T) {
	bubble(t, endless, func(c *clock) {
		out, err := c.invoke(c.Context())
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		b, err := io.ReadAll(out.Response)
		if took := time.Since(begun).Round(time.Second); err == nil || took != 60*time.Minute || len(b) < 60 {
			t.Errorf("%d bytes and %v after %v, want 60, an error and an hour", len(b), err, took)
		}
		_ = out.Response.Close() // it is broken
		c.idle()
		c.noted("the agent's answer was cut off after 1h0m0s")
	})
}

// TestCallerLeaves: the agent's connection breaks at once.
func TestCallerLeaves(t *testing.T) {
	for name, agent := range map[string]http.HandlerFunc{"before the answer": forever, "in the middle": endless} {
		t.Run(name, func(t *testing.T) {
			left := make(chan time.Time, 1)
			watched := func(w http.ResponseWriter, r *http.Request) {
				agent(w, r)
				left <- time.Now()
			}
			bubble(t, watched, func(c *clock) {
				ctx, cancel := context.WithTimeout(c.Context(), 90*time.Second)
				defer cancel()
				out, err := c.invoke(ctx)
				if err == nil {
					_, err = io.ReadAll(out.Response)
					_ = out.Response.Close() // it is broken
				}
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v", err)
				}
				gone := time.Now()
				if at := <-left; at.Sub(gone) > time.Second {
					t.Errorf("the agent saw it %v later", at.Sub(gone))
				}
				c.idle()
				c.noted() // that is not the agent's doing
			})
		})
	}
}

// TestStopEndsRequests that have not been answered, and streams.
func TestStopEndsRequests(t *testing.T) {
	for name, agent := range map[string]http.HandlerFunc{"before the answer": forever, "in the middle": endless} {
		t.Run(name, func(t *testing.T) {
			bubble(t, agent, func(c *clock) {
				c.engine.Stuck = true // as uvicorn, which waits for its streams
				time.AfterFunc(90*time.Second, func() {
					for _, s := range c.sessions.List(func(session.Key) bool { return true }) {
						go func() { _ = c.sessions.Stop(context.Background(), s.Key) }()
					}
				})
				begun := time.Now()
				out, err := c.invoke(c.Context())
				if err == nil {
					_, err = io.ReadAll(out.Response)
					_ = out.Response.Close() // it is broken
				} else if f := fault.From(err); f.Code != "RuntimeClientError" || f.Message != "The session was stopped before the agent answered" {
					t.Errorf("refusal %v", err)
				}
				if took := time.Since(begun).Round(time.Second); err == nil || took != 90*time.Second {
					t.Errorf("%v after %v, want an error at the stop", err, took)
				}
				if _, err := c.invoke(c.Context()); !fault.Is(err, "RetryableConflictException") {
					t.Errorf("while it stops: %v", err)
				}
				time.Sleep(20 * time.Second)
				c.noted("ended: it was stopped")
				ctx, cancel := context.WithTimeout(c.Context(), time.Second)
				defer cancel()
				if out, err := c.invoke(ctx); err == nil { // a new session
					_ = out.Response.Close()
				}
				if n := c.engine.Starts(); n != 2 {
					t.Errorf("%d starts, want 2", n)
				}
			})
		})
	}
}

// TestLifetimeEndsRequests: whose request is cut off by maxLifetime reads that, the
// number, and what raises it.
func TestLifetimeEndsRequests(t *testing.T) {
	bubble(t, forever, func(c *clock) {
		c.maxLife = time.Minute
		_, err := c.invoke(c.Context())
		const want = "The session reached its maxLifetime of 60 seconds before the agent answered. The next request starts a new session; to let sessions live longer, raise lifecycleConfiguration.maxLifetime with UpdateAgentRuntime (outcrop deploy --max-lifetime)."
		if f := fault.From(err); f.Code != "RuntimeClientError" || f.Message != want {
			t.Errorf("refusal %v, want %s", err, want)
		}
		time.Sleep(20 * time.Second)
		c.noted("ended: its maximum lifetime is over")
	})
}

// TestDeafGuest: a process that lives and does not listen is given five
// seconds to turn out dead.
func TestDeafGuest(t *testing.T) {
	bubble(t, endless, func(c *clock) {
		out, err := c.invoke(c.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = out.Response.Close() // enough heard
		time.Sleep(10 * time.Second)
		c.engine.Deafen()
		begun := time.Now()
		if _, err = c.invoke(c.Context()); !fault.Is(err, "RuntimeClientError") {
			t.Errorf("%v", err)
		}
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("after %v", took)
		}
		c.idle()
		c.noted("nothing listens on port 8080 any more")
	})
}

// TestIdleConnectionsAreShort: a server that closes its idle connections after
// 1.1 s or more never meets one of our requests half-way.
func TestIdleConnectionsAreShort(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }
	bubble(t, echo, func(c *clock) {
		for _, pause := range []time.Duration{0, 900 * time.Millisecond, 999 * time.Millisecond, 1001 * time.Millisecond, 1100 * time.Millisecond, 4 * time.Second, 5 * time.Second} {
			time.Sleep(pause)
			out, err := c.invoke(c.Context())
			if err != nil {
				t.Fatalf("after %v: %v", pause, err)
			}
			if b, err := io.ReadAll(out.Response); err != nil || string(b) != "hi" {
				t.Errorf("after %v: %q, %v", pause, b, err)
			}
			_ = out.Response.Close() // read to its end
		}
		// One for the probe and the first three; one after each longer pause.
		if n := c.engine.Dials(); n != 5 {
			t.Errorf("%d connections, want 5: kept for less than a second", n)
		}
	})
}

// TestFullDisk tells what is missing, and what makes room.
func TestFullDisk(t *testing.T) {
	bubble(t, func(http.ResponseWriter, *http.Request) {}, func(c *clock) {
		c.engine.Fail = &session.DiskError{Need: 10 << 30, Free: 3 << 30}
		_, err := c.invoke(c.Context())
		want := "the guest may write 10240 MiB to the server's disk, in /tmp and in place of its image's files, and 3072 MiB are left for guests. " +
			"Stop sessions that are not needed, or make room on the disk of the data directory (`outcrop prune`)"
		if f := fault.From(err); f.Message != want || f.Code != "ServiceQuotaExceededException" {
			t.Errorf("invoke: %v, want %s", err, want)
		}
	})
}
