package storetest

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

type created struct {
	ID string `json:"id"`
}

func token(hash string) store.Token {
	return store.Token{Scope: home, Operation: "CreateThing", Key: "token-1", RequestHash: hash}
}

// create makes a thing under a token, or without one when its key is empty.
func (e *env) create(tok store.Token, id string) (created, error) {
	return store.Reply(store.WithToken(e.ctx, tok), e.store, func(tx store.Tx) (created, error) {
		return created{id}, insert(doc(home, id, ""))(tx)
	})
}

var replyTests = map[string]func(*testing.T, *env){
	"are given again to the same request": func(t *testing.T, e *env) {
		first, err := e.create(token("h"), "a")
		equal(t, "first", fmt.Sprint(first, err), "{a} <nil>")
		e.reopen()
		again, err := e.create(token("h"), "b")
		equal(t, "again", fmt.Sprint(again, err), "{a} <nil>")
		body, found, err := store.Replay(store.WithToken(e.ctx, token("h")), e.store)
		equal(t, "replay", fmt.Sprintln(string(body), found, err), "{\"id\":\"a\"} true <nil>\n")
		e.refused(store.ErrNotFound, func(tx store.Tx) error { _, err := tx.Document(doc(home, "b", "").Key); return err })
	},
	"are refused to another request": func(t *testing.T, e *env) {
		if _, err := e.create(token("h"), "a"); err != nil {
			t.Fatal(err)
		}
		_, err := e.create(token("other"), "b")
		is(t, "reply", err, store.ErrTokenMismatch)
		_, _, err = store.Replay(store.WithToken(e.ctx, token("other")), e.store)
		is(t, "replay", err, store.ErrTokenMismatch)
	},
	"are apart by scope, operation and token": func(t *testing.T, e *env) {
		for i, change := range []func(*store.Token){
			func(*store.Token) {},
			func(tok *store.Token) { tok.Scope = others },
			func(tok *store.Token) { tok.Operation = "CreateOther" },
			func(tok *store.Token) { tok.Key = "token-2" },
			func(tok *store.Token) { tok.Key = "" }, // no token at all
		} {
			tok := token("h")
			change(&tok)
			got, err := e.create(tok, fmt.Sprint(i))
			equal(t, "reply", fmt.Sprint(got, err), fmt.Sprintf("{%d} <nil>", i))
		}
	},
	"are not kept of a failure": func(t *testing.T, e *env) {
		ctx := store.WithToken(e.ctx, token("h"))
		got, err := store.Reply(ctx, e.store, func(store.Tx) (created, error) { return created{"x"}, errBoom })
		is(t, "reply", err, errBoom)
		equal(t, "value", got, created{})
		_, found, err := store.Replay(ctx, e.store)
		equal(t, "replay", fmt.Sprint(found, err), "false <nil>")
	},
	"are forgotten after their life": func(t *testing.T, e *env) {
		if _, err := e.create(token("h"), "a"); err != nil {
			t.Fatal(err)
		}
		e.clock.advance(store.TokenLife - time.Second)
		got, err := e.create(token("h"), "b")
		equal(t, "before", fmt.Sprint(got, err), "{a} <nil>")
		e.clock.advance(2 * time.Second)
		got, err = e.create(token("other"), "c")
		equal(t, "after", fmt.Sprint(got, err), "{c} <nil>")
	},
	"run once for many at the same time": func(t *testing.T, e *env) {
		var runs atomic.Int32
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				got, err := store.Reply(store.WithToken(e.ctx, token("h")), e.store, func(tx store.Tx) (created, error) {
					n := runs.Add(1)
					return created{fmt.Sprint(n)}, insert(doc(home, fmt.Sprint(n), ""))(tx)
				})
				if err != nil || got.ID != "1" {
					t.Errorf("reply: %v, %v", got, err)
				}
			})
		}
		wg.Wait()
		equal(t, "runs", runs.Load(), 1)
	},
	"must be JSON of a valid token": func(t *testing.T, e *env) {
		e.refused(store.ErrInvalid, func(tx store.Tx) error { return tx.SaveReply(token("h"), json.RawMessage("{"), time.Hour) })
		e.refused(store.ErrInvalid, func(tx store.Tx) error {
			return tx.SaveReply(store.Token{Key: "k"}, json.RawMessage("{}"), time.Hour)
		})
	},
}
