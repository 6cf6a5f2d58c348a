package load

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// pace has calls begin at times that are fixed beforehand, whether those before have ended
// or not.
type pace struct {
	// rate is calls a second, 0 for as many as atOnce can make.
	rate int
	// atOnce bounds those that run. Where they are all waited for, the machine does not
	// keep the rate; how long the next ones wait for a turn counts as their time.
	atOnce int

	mu     sync.Mutex
	took   []time.Duration // from when a call was due
	served []time.Duration // from when it was sent
	failed []error
	spent  time.Duration
}

// run makes calls for some time, or until most were made, and waits for them all.
func (p *pace) run(length time.Duration, most int, call func() error) {
	begun := time.Now()
	turns := make(chan struct{}, p.atOnce)
	var running sync.WaitGroup
	for i := 0; i < most && !p.broken(); i++ {
		due := time.Now()
		if p.rate > 0 {
			due = begun.Add(time.Duration(i) * time.Second / time.Duration(p.rate))
			time.Sleep(time.Until(due))
		}
		turns <- struct{}{}
		if time.Since(begun) > length {
			<-turns
			break
		}
		running.Go(func() {
			sent := time.Now()
			err := call()
			end := time.Now()
			<-turns
			p.mu.Lock()
			defer p.mu.Unlock()
			if err != nil {
				p.failed = append(p.failed, fmt.Errorf("sent at %s, ended %v later: %w", sent.Format(time.TimeOnly), end.Sub(sent).Round(time.Millisecond), err))
			}
			p.took, p.served = append(p.took, end.Sub(due)), append(p.served, end.Sub(sent))
		})
	}
	running.Wait()
	p.mu.Lock()
	p.spent += time.Since(begun)
	p.mu.Unlock()
}

// broken tells whether so much failed that more would tell nothing.
func (p *pace) broken() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.failed) >= 10
}

// report tells the figures, and each failure.
func (p *pace) report(t *testing.T, what string) {
	t.Helper()
	for _, err := range p.failed {
		t.Errorf("%s: %v", what, err)
	}
	if len(p.took) == 0 {
		t.Fatalf("%s: none ended", what)
	}
	slices.Sort(p.took)
	slices.Sort(p.served)
	at, reached := "as many as the machine makes", float64(len(p.took))/p.spent.Seconds()
	if p.rate > 0 {
		at = fmt.Sprintf("due %d a second", p.rate)
		if reached < 0.98*float64(p.rate) {
			at += ", which this machine does not keep"
		}
	}
	t.Logf("figure: %d %s, %s: %.0f a second; from when they were due p50 %v, p99 %v, longest %v; from when they were sent p50 %v, p99 %v",
		len(p.took), what, at, reached, quantile(p.took, 0.5), quantile(p.took, 0.99), quantile(p.took, 1), quantile(p.served, 0.5), quantile(p.served, 0.99))
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)].Round(10 * time.Microsecond)
}

// standstills looks for times at which this process did not run at all, until the test
// ends: what calls take then says nothing about the server.
func standstills(t *testing.T) {
	const tick, worth = 50 * time.Millisecond, time.Second
	var found []string
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for last := time.Now(); ; {
			select {
			case <-done:
				return
			case <-time.After(tick):
			}
			if stood := time.Since(last); stood > worth {
				found = append(found, fmt.Sprintf("%v until %s", stood.Round(time.Millisecond), time.Now().Format(time.TimeOnly)))
			}
			last = time.Now()
		}
	})
	t.Cleanup(func() {
		close(done)
		watching.Wait()
		t.Logf("figure: %d times this process stood still for more than %v: %s", len(found), worth, strings.Join(found, ", "))
	})
}
