package invoke

import (
	"context"
	"time"

	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
)

// lastWords is how long a guest that hung up and answers nobody is given to turn out
// dead: whoever sees the end of its connection is ahead of the news of its own by
// the time that the kernel takes to give back its memory, seconds where that was
// many GiB. askAgain is how often it is asked meanwhile.
const (
	lastWords = 10 * time.Second
	askAgain  = 250 * time.Millisecond
)

// demise is how the guest ended that broke a request off, or empty for one that was
// stopped or lives on. One that lives is known by its answering, so that its caller
// does not wait for an end that does not come.
func demise(ctx context.Context, use *session.Use) string {
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	lives := make(chan struct{})
	go func() {
		if answersAgain(ctx, use) {
			close(lives)
		}
	}()
	select {
	case <-use.Done():
	case <-lives:
		return ""
	case <-ctx.Done():
		return ""
	}
	if end := use.Exit(); end.Cause != sandbox.Stopped && end.Cause != sandbox.Saved {
		return session.Ended(end)
	}
	return ""
}

// answersAgain asks the guest until it answers, whatever it says, or ctx ends.
func answersAgain(ctx context.Context, use *session.Use) bool {
	server := use.Detail().(runtime.Detail).Server
	for server.Answers(ctx, use.Transport()) != nil {
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return false
		}
	}
	return true
}
