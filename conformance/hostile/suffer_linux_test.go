package hostile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/conformance/server"
)

// How many callers wait for each kind of target that never ends its answer; of those of an
// API more than a target serves at once.
const (
	waiting    = 20
	waitingAPI = 300
)

// TestHarm: a server that is slow, huge, malformed or dead costs its own callers an error,
// within the gateway's limits or until they leave, and nobody else anything.
func TestHarm(t *testing.T) {
	w := enter(t)
	if w == nil {
		return
	}
	w.site = site()
	r := start(t, "--allow-private", theirs, "--trust-ca", w.roots)
	names := slices.Sorted(maps.Keys(w.enemy.does))
	for name, at := range map[string]string{"plain": "http://" + theirs + plainPort, "secure": "https://" + theirs + securePort, "stuck": "http://" + theirs + plainPort} {
		r.Fail(r.target(r.tools, name, server.McpServer(at+"/mcp")))
		r.Fail(r.target(r.tools, name+"-api", server.OpenAPI(document(at, names...))))
		r.Fail(r.target(r.web, name+"-pass", passes(at)))
		r.Fail(r.target(r.web, name+"-model", infers(at), r.key))
	}
	r.Fail(r.target(r.tools, "fine", server.McpServer("http://"+theirs)))
	r.Fail(r.target(r.web, "fine-pass", passes("http://"+theirs)))

	before, memory := r.Usage(), r.RSS()
	peace, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	calm := r.well(peace)
	leave, left := r.wait()
	attack, over := context.WithCancel(t.Context())
	go func() {
		defer over()
		r.dead(t)
		for _, targets := range []string{"plain", "secure"} {
			r.suffer(t, targets)
		}
	}()
	under := r.well(attack)
	<-attack.Done()
	t.Logf("figure: calls of other targets took %v at peace, %v under attack", calm, under)
	most := r.RSS()
	leave()
	left.Wait()
	r.Until("no harm is under way", func() bool { return len(w.enemy.busy()) == 0 })
	r.Until("the server has no more descriptors than before", func() bool { return r.Usage().Files <= before.Files+8 })
	after := r.Usage()
	t.Logf("figure: %+v before, %d MB at the end of the attack, %+v after", before, most>>20, after)
	if most > memory+512<<20 {
		t.Errorf("the attack takes the server's memory from %d to %d MB", memory>>20, most>>20)
	}
	all, begun := r.Goroutines()
	for name, n := range begun {
		if n >= 25 {
			t.Errorf("%d goroutines begun by %s are left", n, name)
		}
	}
	t.Logf("figure: %d goroutines are left", all)
}

// Fail fails the test for a reason, if there is one.
func (r *rig) Fail(reason string) {
	r.Helper()
	if reason != "" {
		r.Fatal(reason)
	}
}

// spent are how long calls took.
type spent []time.Duration

func (s spent) String() string {
	slices.Sort(s)
	return fmt.Sprintf("p50 %v, longest %v (%d)", s[len(s)/2].Round(10*time.Microsecond), s[len(s)-1].Round(10*time.Microsecond), len(s))
}

// well calls targets that are well while ctx lasts, one call after another. None may fail.
func (r *rig) well(ctx context.Context) (took spent) {
	for ctx.Err() == nil {
		for _, text := range []func() string{func() string { return r.hello("fine") }, func() string { return r.pass("fine-pass") }} {
			sent := time.Now()
			if said := text(); !strings.Contains(said, welcome) {
				r.Errorf("a target that is well says %q", said)
				return append(took, time.Since(sent))
			}
			took = append(took, time.Since(sent))
		}
	}
	return took
}

// wait has callers wait for answers that never end. leave has them all hang up.
func (r *rig) wait() (leave context.CancelFunc, left *sync.WaitGroup) {
	ctx, leave := context.WithCancel(r.Context())
	left = &sync.WaitGroup{}
	begin := func(n int, call func() error) {
		for range n {
			left.Go(func() {
				if err := call(); err != nil && !errors.Is(err, context.Canceled) {
					r.Error(err)
				}
			})
		}
	}
	for name := range lasting() {
		begin(waiting, func() error { return r.stays(ctx, "stuck___"+name) })
		begin(waiting, func() error {
			_, _, err := r.send(ctx, http.MethodGet, r.web.URL+"/stuck-pass/"+name, "")
			return err
		})
		begin(waiting, func() error {
			_, _, err := r.send(ctx, http.MethodPost, r.web.URL+"/inference/v1/chat/completions", `{"model":"stuck-model/`+name+`","messages":[]}`)
			return err
		})
	}
	begin(waitingAPI, func() error { return r.stays(ctx, "stuck-api___silent") })
	return leave, left
}

// stays wants a call not to end but by its caller, or at once as one too many.
func (r *rig) stays(ctx context.Context, tool string) error {
	text, err := r.call(ctx, tool)
	if err == nil && !strings.Contains(text, "256 calls of this target are running") {
		err = fmt.Errorf("%s ends: %s", tool, text)
	}
	return err
}

// dead has each kind lead to where nobody listens, and to who speaks no TLS.
func (r *rig) dead(t *testing.T) {
	for i, k := range kinds()[:4] {
		for url, want := range map[string][]string{
			"http://" + theirs + ":9":   {"nothing listens", "connection refused", "could not be reached"},
			"https://" + theirs + ":80": {"does not speak TLS", "HTTP response to HTTPS client", "could not be reached"},
		} {
			text := k.says(r, fmt.Sprintf("dead-%d-%d", i, len(url)), url)
			if !slices.ContainsFunc(want, func(w string) bool { return strings.Contains(text, w) }) {
				t.Errorf("%s at %s says %q", k.name, url, text)
			}
		}
	}
}

// suffer does each harm to a caller of each kind of target, a few at once.
func (r *rig) suffer(t *testing.T, targets string) {
	turns := make(chan struct{}, 3)
	var all sync.WaitGroup
	do := func(f func()) {
		turns <- struct{}{}
		all.Go(func() { f(); <-turns })
	}
	for name, is := range harms() {
		for tool, want := range map[string]string{targets + "___" + name: is.mcp, targets + "-api___" + name: is.rest} {
			do(func() {
				text, err := r.call(t.Context(), tool)
				if err != nil || !strings.Contains(text, want) {
					t.Errorf("%s says %.300q, %v, want %q", tool, text, err, want)
				}
			})
		}
		for kind, ask := range map[string]func() ([]byte, int, error){
			"passthrough": func() ([]byte, int, error) {
				return r.send(t.Context(), http.MethodGet, r.web.URL+"/"+targets+"-pass/"+name, "")
			},
			"inference": func() ([]byte, int, error) {
				return r.send(t.Context(), http.MethodPost, r.web.URL+"/inference/v1/chat/completions", `{"model":"`+targets+`-model/`+name+`","messages":[]}`)
			},
		} {
			do(func() {
				body, status, err := ask()
				got := fmt.Sprint(status)
				switch {
				case err != nil:
					got = broken
				case len(body) == maxRead:
					got = passing
				}
				if got != is.web {
					t.Errorf("%s %s of %s: %s (%d, %d bytes, %v): %.200q, want %s", targets, kind, name, got, status, len(body), err, body, is.web)
				}
			})
		}
	}
	all.Wait()
}
