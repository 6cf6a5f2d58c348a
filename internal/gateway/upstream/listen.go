package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/outcrop/outcrop/internal/gateway/target"
)

// Listening is how a Driver hears from servers that what they offer has changed
// (spec/gateway.md 17.12). The zero value does not.
type Listening struct {
	// Changed is told when a server says so, and when it may have without being heard: each
	// time that listening begins. It may be called often.
	Changed func(ctx context.Context, of target.Source)
	// Wanted says whether the server at a URL is listened to, and asked more than for its
	// lists: one that runs as long as somebody is connected is better left alone. Nil is all.
	Wanted func(ctx context.Context, at *url.URL) bool
	// Full is told, once, of a target whose server has to wait, since others of its account
	// have the streams that it may have: most of all. Nil is nobody.
	Full func(ctx context.Context, of target.Source, most int)
	// Places are shared by the Drivers that have the same; nil is the Driver's own.
	Places *target.Places
}

// wants reports whether the server at a URL is not to be left alone.
func (l *Listening) wants(ctx context.Context, at *url.URL) bool {
	return l.Wanted == nil || l.Wanted(ctx, at)
}

const (
	// MaxListening is how many Places there are for such streams: each keeps a connection.
	MaxListening = 1000
	// Between a stream's end and the next one. It doubles while streams do not last.
	listenAgain    = time.Second
	listenAgainMax = 5 * time.Minute
	listenLasts    = time.Minute
	// maxListened bounds all that comes on one stream, in bytes, and one message of it.
	maxListened = 64 << 20
	maxHeard    = 1 << 20
)

// errMute is a server that says nothing by itself.
var errMute = errors.New("the server tells of no changes")

// listen hears what a server says by itself, until the server is closed. What it offers
// to each caller alone is not listened for.
func (d *Driver) listen(s *server, of target.Source) {
	if d.cfg.Listening.Changed == nil || s.live || s.dependent || len(of.Schema) > 0 {
		return
	}
	ctx := s.life
	s.changed = func() { d.cfg.Listening.Changed(ctx, of) }
	s.loose.Go(func() {
		if !d.cfg.Listening.wants(ctx, s.endpoint) {
			return
		}
		if leave := d.place(ctx, of); leave != nil {
			defer leave()
			s.listen(ctx, s.changed)
		}
	})
}

// place waits for one among the Places. It returns nil where ctx ends before.
func (d *Driver) place(ctx context.Context, of target.Source) (leave func()) {
	for told := false; ; told = true {
		if leave = d.cfg.Listening.Places.Take(of.Scope.Account); leave != nil {
			return leave
		}
		if full := d.cfg.Listening.Full; full != nil && !told {
			full(ctx, of, d.cfg.Listening.Places.Most())
		}
		timer := time.NewTimer(listenAgainMax)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// listen opens one stream after another. changed is called for what a stream says, and
// when one is there, before which something may have been missed.
func (s *server) listen(ctx context.Context, changed func()) {
	var got *session
	for wait := listenAgain; ; {
		began := time.Now()
		next, err := s.hear(ctx, got, changed)
		if got = next; ctx.Err() != nil || errors.Is(err, errMute) {
			s.unlisten(got)
			return
		}
		if time.Since(began) > listenLasts {
			wait = listenAgain
		}
		timer := time.NewTimer(wait + rand.N(wait/4+1)) // not all that a proxy has cut at once
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			s.unlisten(got)
			return
		}
		wait = min(2*wait, listenAgainMax)
	}
}

// unlisten ends the session of a listener.
func (s *server) unlisten(got *session) {
	if got == nil || got.id == "" {
		return
	}
	l := &link{session: got, first: target.Call{Catalogue: true}}
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	s.leave(ctx, l)
}

// hear follows one stream to its end. It returns the session that the next one may go on
// with, nil where there is none.
func (s *server) hear(ctx context.Context, got *session, changed func()) (*session, error) {
	c := &target.Call{Catalogue: true}
	if got == nil {
		var err error
		if got, err = s.greet(ctx, c, false); err != nil {
			return nil, err
		}
	}
	if !tells(got) {
		return got, errMute
	}
	asking, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	id := s.ids.Add(1)
	head, err := s.tune(asking, got, c, id)
	if err != nil {
		return nil, err
	}
	defer head.Body.Close()
	switch {
	case mute(head), head.StatusCode == http.StatusNotFound && got.id == "":
		return got, errMute
	case head.StatusCode != http.StatusOK:
		return nil, refused(head)
	}
	changed()
	st := &stream{s: s, got: got, call: c, id: id, changed: changed}
	defer st.asked.Wait()
	defer cancel(nil)
	in := s.readers.get(head.Body)
	defer s.readers.put(in)
	defer context.AfterFunc(asking, func() { head.Body.Close() })()
	e := &events{in: in, left: maxListened, max: maxHeard}
	for {
		data, err := e.next()
		if err != nil {
			return got, err
		}
		if _, done, err := st.take(asking, cancel, data); err != nil || done {
			return got, err
		}
	}
}

// tune asks for the stream, as the server's revision has it.
func (s *server) tune(ctx context.Context, got *session, c *target.Call, id int64) (*http.Response, error) {
	if !got.modern {
		return s.get(ctx, got, c, "")
	}
	r := &request{method: "subscriptions/listen", params: []byte(`"notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true}`)}
	return s.post(ctx, got, c, r, s.encode(id, got, c, r))
}

// tells reports whether a server declares that it tells of changes.
func tells(got *session) bool {
	for _, of := range []string{"tools", "prompts", "resources"} {
		var able struct {
			Changes bool `json:"listChanged"`
		}
		if json.Unmarshal(got.capabilities[of], &able) == nil && able.Changes {
			return true
		}
	}
	return false
}
