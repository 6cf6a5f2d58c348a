package mcp

import (
	"net/http"
	"sync"

	"github.com/outcrop/outcrop/internal/gateway/target"
)

// The bounds of streams that only listen: those of one caller at a gateway, those of a
// gateway, and those of all, of which each account has its share.
const (
	maxOfCaller  = 200
	maxOfGateway = 2000
	maxOfAll     = 10_000
)

// listeners counts the streams that only listen.
type listeners struct {
	places *target.Places

	mu sync.Mutex
	of map[string]*listening // by gateway
}

func newListeners() listeners {
	return listeners{places: target.NewPlaces(maxOfAll), of: map[string]*listening{}}
}

type listening struct {
	all     int
	callers map[string]int
}

// enter counts one more, unless there are as many as may be: most is how many that are
// then, and whose.
func (l *listeners) enter(account, gateway, caller string) (leave func(), most int, whose string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.of[gateway]
	switch {
	case g == nil:
		g = &listening{callers: map[string]int{}}
	case g.all >= maxOfGateway:
		return nil, maxOfGateway, "this gateway"
	case g.callers[caller] >= maxOfCaller:
		return nil, maxOfCaller, "one caller"
	}
	free := l.places.Take(account)
	if free == nil {
		return nil, l.places.Of(account), "the gateways of this account"
	}
	l.of[gateway] = g
	g.all++
	g.callers[caller]++
	return func() {
		free()
		l.mu.Lock()
		defer l.mu.Unlock()
		if g.callers[caller]--; g.callers[caller] == 0 {
			delete(g.callers, caller)
		}
		if g.all--; g.all == 0 {
			delete(l.of, gateway)
		}
	}, 0, ""
}

// stay counts a stream that is going to listen. Callers of whom nothing is known are told
// apart by where they come from.
func (x *exchange) stay() (leave func(), f *failure) {
	caller := who(x.caller)
	if caller == "" {
		caller = x.seen.Source
	}
	leave, most, whose := x.e.listeners.enter(x.view.Scope.Account, x.view.ID, caller)
	if leave != nil {
		return leave, nil
	}
	x.out.w.Header().Set("Retry-After", "60")
	f = invalid(codeThrottled, "There are %d streams that listen already, as many as %s may have. Close some, or list the tools again from time to time", most, whose)
	f.status = http.StatusTooManyRequests
	return nil, f
}
