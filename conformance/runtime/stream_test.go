package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// chunks: an SDK agent that yields every 100 ms is seen by boto3 chunk by chunk,
// at p95 at most 50 ms later than when it is read directly. Other tests run meanwhile,
// which can only make it later: it is measured again before it counts.
func chunks(f *fixture) {
	const bar = 50.0
	arn := f.agent("sdk", "sdk.py", nil)
	port := plain(f)
	var later float64
	for range 3 {
		if later = lateness(f, arn, port); later <= bar {
			return
		}
	}
	f.Errorf("p95 is %.1f ms later than direct, want at most %.0f", later, bar)
}

// lateness is how much later than direct chunks are at p95, in milliseconds.
func lateness(f *fixture, arn string, port int) float64 {
	f.Helper()
	const count = 100
	cmd := exec.CommandContext(f.Context(), pinned.Program(f.T, "python"), "testdata/chunks.py", arn, strconv.Itoa(port), strconv.Itoa(count))
	cmd.Env = f.Env()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		f.Fatalf("%v: %s", err, stderr.Bytes())
	}
	var late struct{ Through, Direct []float64 }
	if err := json.Unmarshal(out, &late); err != nil {
		f.Fatal(err)
	}
	if len(late.Through) != count || len(late.Direct) != count {
		f.Fatalf("%d and %d chunks, want %d", len(late.Through), len(late.Direct), count)
	}
	ours, theirs := percentile(late.Through, 95), percentile(late.Direct, 95)
	f.Logf("chunk lateness p50/p95: through %.2f/%.2f ms, direct %.2f/%.2f ms", percentile(late.Through, 50), ours, percentile(late.Direct, 50), theirs)
	return ours - theirs
}

func percentile(v []float64, p float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[min(len(v)-1, int(math.Ceil(p/100*float64(len(v))))-1)]
}

// plain runs the SDK agent as a process of this machine and returns its port.
func plain(f *fixture) int {
	f.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, pinned.Program(f.T, "python"), "testdata/agents/sdk.py")
	cmd.Env = append(os.Environ(), "PORT="+strconv.Itoa(port))
	if err := cmd.Start(); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
	for deadline := time.Now().Add(server.Wait); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
			_ = c.Close() // only a look
			return port
		}
	}
	f.Fatal("the plain agent does not listen")
	return 0
}

const payloadLimit = 100_000_000 // spec/runtime.md 8.1

// pattern is a body of any size that costs no memory: the hexadecimal digits
// again and again.
type pattern struct{ at, size int64 }

const digits = "0123456789abcdef"

// period is many times the digits, to be copied from any of them on.
var period = strings.Repeat(digits, 4096)

func (p *pattern) Read(b []byte) (int, error) {
	if p.at == p.size {
		return 0, io.EOF
	}
	n := copy(b[:min(int64(len(b)), p.size-p.at)], period[p.at%int64(len(digits)):])
	p.at += int64(n)
	return n, nil
}

func (p *pattern) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekStart {
		return 0, fmt.Errorf("seek from %d", whence)
	}
	p.at = offset
	return offset, nil
}

// bigBodies pass both ways and cost the server little memory.
//
// What the start of a session freed stays resident for a while and would hide
// what a body takes. So several bodies pass at once, and everything since the
// server began, the session's start included, is counted against them: that
// bounds what one takes from above. They may be smaller than the limit, as long
// as one of them in memory is far above the bar.
func bigBodies(f *fixture) {
	const bar, atOnce, smaller = 32 << 20, 4, payloadLimit / 2
	f = f.another() // it will be killed
	arn, id := f.raw(), server.SessionID("big")
	for _, c := range []struct {
		name, deed string
		up, down   int64 // 1 or 0 times the size
		signed     bool
	}{
		{"signed upload", "count", 1, 0, true},
		{"unsigned upload", "count", 1, 0, false},
		{"download", "produce=", 0, 1, true},
		{"both ways", "echo", 1, 1, false},
	} {
		f.Kill()
		f.Restart()
		f.forget()
		fresh := f.RSS()
		f.must(arn, id, "count")
		warm := f.RSS()
		f.forget()
		one := func(size int64) {
			deed, up, down := c.deed, c.up*size, c.down*size
			if strings.HasSuffix(deed, "=") {
				deed += strconv.FormatInt(size, 10)
			}
			f.pass(c.name, f.request(f.Context(), arn, id, deed, &pattern{size: up}, up, c.signed), up, down)
		}
		begun := time.Now()
		one(payloadLimit)
		single, took := f.peak(), time.Since(begun)
		var all sync.WaitGroup
		for range atOnce {
			all.Go(func() { one(smaller) })
		}
		all.Wait()
		most := f.peak()
		each := (most - fresh) / atOnce
		f.Logf("%-16s %.1f s; resident fresh %.1f, warm %.1f, peak of one %.1f, of %d at once %.1f MiB: at most %.1f MiB each",
			c.name, took.Seconds(), mib(fresh), mib(warm), mib(single), atOnce, mib(most), mib(each))
		if single-warm > bar || each > bar {
			f.Errorf("%s: the server grew by %.1f MiB for one, and up to %.1f MiB for each of %d, want at most %d", c.name, mib(single-warm), mib(each), atOnce, bar>>20)
		}
	}
	for _, signed := range []bool{true, false} {
		_, err := do(f.request(f.Context(), arn, id, "count", &pattern{size: payloadLimit + 1}, payloadLimit+1, signed))
		f.refused(err, 413, "100000000")
	}
}

// pass sends one body of up bytes, of which the agent tells the size, or gets
// one of down bytes.
func (f *fixture) pass(name string, r *http.Request, up, down int64) {
	f.Helper()
	resp, err := do(r)
	if err != nil {
		f.Errorf("%s: %v", name, err)
		return
	}
	defer resp.Body.Close()
	if down == 0 {
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != strconv.FormatInt(up, 10) {
			f.Errorf("%s: the agent got %s, %v", name, b, err)
		}
		return
	}
	if n, err := compare(resp.Body, &pattern{size: down}); err != nil || n != down {
		f.Errorf("%s: %d bytes of %d, %v", name, n, down, err)
	}
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// compare reads both and returns how far they are the same.
func compare(a, b io.Reader) (n int64, err error) {
	one, two := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		k, err := a.Read(one)
		if _, berr := io.ReadFull(b, two[:k]); berr != nil || !bytes.Equal(one[:k], two[:k]) {
			return n, fmt.Errorf("they differ in the %d bytes after %d", k, n)
		}
		n += int64(k)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// callersLeave: the agent notices within a second.
func callersLeave(f *fixture) {
	arn, id := f.raw(), server.SessionID("shared")
	f.must(arn, id, "count")
	for i, deed := range []string{"hang=0", "hang=1"} {
		ctx, cancel := context.WithCancel(f.Context())
		seen := make(chan error, 1)
		if deed == "hang=0" {
			go func() {
				_, err := do(f.request(ctx, arn, id, deed, nil, 0, true))
				seen <- err
			}()
			f.hanging(i + 1)
		} else {
			resp, err := do(f.request(ctx, arn, id, deed, nil, 0, true))
			if err != nil {
				f.Fatal(err)
			}
			if _, err := io.ReadFull(resp.Body, make([]byte, 6)); err != nil {
				f.Fatal(err)
			}
			seen <- nil
		}
		gone := time.Now()
		cancel()
		<-seen
		var left []float64
		for deadline := gone.Add(10 * time.Second); len(left) <= i && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if err := json.Unmarshal([]byte(f.must(arn, id, "when")), &left); err != nil {
				f.Fatal(err)
			}
		}
		if len(left) <= i {
			f.Fatalf("%s: the agent has not noticed within 10 s", deed)
		}
		took := time.UnixMicro(int64(left[i] * 1e6)).Sub(gone)
		f.Logf("%s: the agent noticed after %v", deed, took.Round(time.Millisecond))
		if took > time.Second {
			f.Errorf("%s: the agent noticed after %v, want at most 1 s", deed, took)
		}
	}
}

// hanging waits until the raw agent has said n times that it hangs.
func (f *fixture) hanging(n int) {
	f.Helper()
	for deadline := time.Now().Add(server.Wait); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if out, _, err := f.CLI(f.Context(), "logs", "raw"); err == nil && strings.Count(out, "hanging") >= n {
			return
		}
	}
	f.Fatal("the agent does not hang")
}
