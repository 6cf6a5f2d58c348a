package target

import "sync"

// Places are a number of streams, of which no account takes all. They are safe for
// concurrent use.
type Places struct {
	most int

	mu  sync.Mutex
	all int
	of  map[string]int // by account
}

// NewPlaces returns Places for a number of streams.
func NewPlaces(most int) *Places { return &Places{most: most, of: map[string]int{}} }

// Most is how many there are, taken ones included.
func (p *Places) Most() int { return p.most }

// Of is how many an account has taken.
func (p *Places) Of(account string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of[account]
}

// Take takes one more for an account, or returns nil. An account that has as many as are left
// gets no more: half of all where it is alone. The last one is for an account that has none.
func (p *Places) Take(account string) (leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of[account] >= p.most-p.all {
		return nil
	}
	p.all++
	p.of[account]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.all--
		if p.of[account]--; p.of[account] == 0 {
			delete(p.of, account)
		}
	}
}
