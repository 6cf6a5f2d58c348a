package gateway

import (
	"context"
	"encoding/json"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// What is made is answered with all of its configuration, and a saved reply is not
// sealed. So what is remembered of a create is the id of what was made, and the same
// request again is answered with that as it is by then.

// privately gives a context's token a name of ours, so that the pipeline does not take
// what is saved for the answer.
func privately(ctx context.Context) context.Context {
	token, ok := store.TokenFrom(ctx)
	if !ok {
		return ctx
	}
	token.Operation += " id"
	return store.WithToken(ctx, token)
}

// madeBefore returns what the same request made before, if it did.
func (s *Service) madeBefore(ctx context.Context) (id string, found bool, err error) {
	body, found, err := store.Replay(privately(ctx), s.cfg.Store)
	if err == nil && found {
		err = json.Unmarshal(body, &id)
	}
	return id, found, err
}

// once makes something in a write transaction, unless the same request did. It returns
// the id of what was made.
func (s *Service) once(ctx context.Context, make func(store.Tx) (id string, err error)) (string, error) {
	return store.Reply(privately(ctx), s.cfg.Store, make)
}

// goneSince words that what a request made before is not there any more.
func goneSince(err error, what string) error {
	if fault.Is(err, "ResourceNotFoundException") {
		return fault.Conflict("The %s that was made with this clientToken has been deleted; use a new token to make another", what).Because(err)
	}
	return err
}
