package crash

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/outcrop/outcrop/conformance/server"
)

// TestGracefulStop ends the server by SIGTERM while answers are being streamed.
func TestGracefulStop(t *testing.T) {
	t.Run("streams that end in time are whole", func(t *testing.T) {
		s := startStreams(t, "20s", question{Stream: 30, Every: 100})
		took := s.terminate(t)
		for i, text := range s.texts() {
			if n := strings.Count(text, "data: "); n != 30 {
				t.Errorf("stream %d had %d lines, want 30", i, n)
			}
		}
		if took > 15*time.Second {
			t.Errorf("the server ended after %v, although nothing ran any more", took)
		}
		t.Logf("ended after %v", took.Round(time.Millisecond))
	})
	t.Run("endless streams are cut", func(t *testing.T) {
		s := startStreams(t, "2s", question{Stream: 1 << 30, Every: 20})
		took := s.terminate(t)
		if took < 2*time.Second || took > 15*time.Second {
			t.Errorf("the server ended after %v, its streams had a grace of 2 s", took)
		}
		for i, text := range s.texts() {
			if n := strings.Count(text, "data: "); n < 20 {
				t.Errorf("stream %d was cut after %d lines", i, n)
			}
		}
		t.Logf("ended after %v", took.Round(time.Millisecond))
	})
}

// TestStopInTheMiddle ends the server while runtimes are being made and a
// session is being started. What was acknowledged goes on after the restart.
func TestStopInTheMiddle(t *testing.T) {
	ctx := t.Context()
	r := newRig(t, server.Options{Args: []string{"--grace", "10s"}})
	idle := take(t, r.DataDir, r.Cmd.Process.Pid)
	started := make(chan error, 1)
	go func() {
		_, err := r.ask(ctx, server.SessionID("starts"), question{})
		started <- err
	}()
	var ids []string
	for i := range 5 {
		name := fmt.Sprintf("unfinished%d", i)
		key := name + ".zip"
		if _, err := r.objects.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(codeBucket), Key: &key, Body: bytes.NewReader(commented(r.zip, name))}); err != nil {
			t.Fatal(err)
		}
		in := r.account.Input(codeBucket, name, r.python())
		in.AgentRuntimeArtifact = r.artifact(key)
		out, err := r.runtimes.CreateAgentRuntime(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, *out.AgentRuntimeId)
	}
	if err := r.End(syscall.SIGTERM, time.Minute); err != nil {
		t.Fatalf("%v\n%s", err, tail(r.Log()))
	}
	if err := <-started; err != nil {
		t.Errorf("a request that came before SIGTERM: %v", err)
	}
	none := idle
	none.Processes, none.Namespaces = map[string]int{}, map[string]int{}
	if err := take(t, r.DataDir, 0).same(none); err != nil {
		t.Error(err)
	}
	r.Restart()
	r.connect()
	for _, id := range ids {
		if err := r.settled(ctx, id); err != nil {
			t.Errorf("%s after the restart: %v", id, err)
		}
	}
}

// streams are answers under way.
type streams struct {
	*rig
	idle census
	all  []<-chan string
}

// startStreams starts a server and three streams, each of which has begun.
func startStreams(t *testing.T, grace string, q question) *streams {
	s := &streams{rig: newRig(t, server.Options{Args: []string{"--grace", grace}})}
	s.idle = take(t, s.DataDir, s.Cmd.Process.Pid)
	for i := range 3 {
		body, err := s.open(t.Context(), s.base.AgentRuntimeArn, server.SessionID("graceful", i), q)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = body.Close() }) // it is over
		r := bufio.NewReader(body)
		first, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		text := make(chan string, 1)
		s.all = append(s.all, text)
		go func() {
			rest, _ := io.ReadAll(r) // it may be cut
			text <- first + string(rest)
		}()
	}
	return s
}

func (s *streams) texts() []string {
	var out []string
	for _, text := range s.all {
		out = append(out, <-text)
	}
	return out
}

// terminate ends the server and tells how long it took. New callers are turned
// away at once; status 0, and nothing is left.
func (s *streams) terminate(t *testing.T) time.Duration {
	t.Helper()
	begun := time.Now()
	refused := make(chan time.Duration, 1)
	go func() {
		for time.Since(begun) < 30*time.Second {
			resp, err := http.DefaultTransport.RoundTrip(healthRequest(s.URL))
			if err != nil {
				break
			}
			_ = resp.Body.Close()
			time.Sleep(20 * time.Millisecond)
		}
		refused <- time.Since(begun)
	}()
	if err := s.End(syscall.SIGTERM, time.Minute); err != nil {
		t.Fatalf("%v\n%s", err, tail(s.Log()))
	}
	took := time.Since(begun)
	if after := <-refused; after > 2*time.Second {
		t.Errorf("new callers were served until %v after SIGTERM", after)
	}
	none := s.idle
	none.Processes, none.Namespaces = map[string]int{}, map[string]int{}
	if err := take(t, s.DataDir, 0).same(none); err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(s.Log()) {
		if strings.Contains(line, "level=ERROR") {
			t.Errorf("the server complained: %s", line)
		}
	}
	return took
}

func healthRequest(url string) *http.Request {
	req, err := http.NewRequest(http.MethodGet, url+"/_outcrop/health", nil)
	if err != nil {
		panic(err) // the URL is the server's own
	}
	req.Close = true // each by a connection of its own
	return req
}
