package credential

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// ahead is how long before their end credentials of AWS are asked for anew, as AWS's own
// SDKs do: they must last for the request and the other side's clock.
const ahead = 5 * time.Minute

// lasting keeps credentials of AWS until near their end.
type lasting struct {
	now func() time.Time
	ask func(context.Context) (Keys, error)

	flights singleflight.Group
	mu      sync.Mutex
	keys    Keys
}

func (l *lasting) get(ctx context.Context) (Keys, error) {
	return once(ctx, &l.flights, l.find, func(ctx context.Context) (Keys, error) {
		keys, err := l.ask(ctx)
		if err == nil {
			l.mu.Lock()
			l.keys = keys
			l.mu.Unlock()
		}
		return keys, err
	})
}

// find returns the credentials while they are good.
func (l *lasting) find() (Keys, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.keys, l.now().Before(l.keys.Expires.Add(-ahead))
}

// maxKept bounds the users whose tokens a target keeps.
const maxKept = 4096

// kept are answers that may be used again, by whom they are for.
type kept struct {
	now     func() time.Time
	flights singleflight.Group
	mu      sync.Mutex
	answers map[string]Answer
}

// find returns an answer that is still good.
func (k *kept) find(who string) (Answer, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a, ok := k.answers[who]
	return a, ok && k.now().Before(a.Until)
}

// put keeps an answer for as long as it says.
func (k *kept) put(who string, a Answer) {
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if a.Value.Empty() || !now.Before(a.Until) {
		delete(k.answers, who)
		return
	}
	if k.answers == nil {
		k.answers = map[string]Answer{}
	}
	if len(k.answers) >= maxKept {
		for other, b := range k.answers {
			if !now.Before(b.Until) {
				delete(k.answers, other)
			}
		}
	}
	if len(k.answers) < maxKept {
		k.answers[who] = a
	}
}

// shared returns what is nobody's in particular, asked for once by all who want it.
func (k *kept) shared(ctx context.Context, ask func(context.Context) (Answer, error)) (Answer, error) {
	return once(ctx, &k.flights, func() (Answer, bool) { return k.find("") }, func(ctx context.Context) (Answer, error) {
		a, err := ask(ctx)
		if err == nil {
			k.put("", a)
		}
		return a, err
	})
}

// once finds what is kept, or does for all who wait what one of them has begun, whose end
// keeps it. Who goes away early does not take it from the others.
func once[T any](ctx context.Context, flights *singleflight.Group, find func() (T, bool), do func(context.Context) (T, error)) (T, error) {
	if v, ok := find(); ok {
		return v, nil
	}
	done := flights.DoChan("", func() (any, error) {
		if v, ok := find(); ok { // another flight has landed since
			return v, nil
		}
		return do(context.WithoutCancel(ctx))
	})
	var zero T
	select {
	case r := <-done:
		if r.Err != nil {
			return zero, r.Err
		}
		return r.Val.(T), nil
	case <-ctx.Done():
		return zero, ctx.Err()
	}
}
