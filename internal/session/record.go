package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/snapshot"
	"github.com/outcrop/outcrop/internal/store"
)

// Who runs a session is a lease, and what the next process must know of it a
// document, both written in one transaction: before a sandbox starts, after it
// was saved, and at its end. The document carries the epoch of its lease, and a
// holder of an older one leaves it alone.

// sessionState is the document of a session.
type sessionState struct {
	// Status is Active while a process runs it, else Hibernated.
	Status   Status    `json:"status"`
	Key      Key       `json:"key"`
	Epoch    int64     `json:"epoch"`
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	LastUsed time.Time `json:"lastUsed"`
	// Quiet is since when it is idle.
	Quiet     time.Time     `json:"quiet,omitzero"`
	Requests  int64         `json:"requests,omitempty"`
	IdleLimit time.Duration `json:"idleLimit,omitempty"` // nanoseconds
	MaxLife   time.Duration `json:"maxLife,omitempty"`
	// Fingerprint and File are what it may be resumed on and from.
	Fingerprint string `json:"fingerprint,omitempty"`
	File        string `json:"file,omitempty"`
	// Engine and Basis are two parts of the fingerprint: with others of them it
	// will never be resumed.
	Engine  string `json:"engine,omitempty"`
	Basis   string `json:"basis,omitempty"`
	Size    int64  `json:"size,omitempty"`
	Storage int64  `json:"storage,omitempty"`
}

type documents = store.Collection[json.RawMessage, sessionState]
type document = store.Resource[json.RawMessage, sessionState]

func sessions() documents { return documents{Kind: "session"} }

// documentID is unique: neither owners nor endpoints hold a slash.
func documentID(key Key) string { return key.Owner + "/" + key.Endpoint + "/" + key.ID }

func leaseName(key Key) string { return "session/" + key.Scope.String() + "/" + documentID(key) }

// leaseTime is how long a lease holds without being renewed, which happens three
// times as often.
const leaseTime = 30 * time.Second

// record takes the lease of the session and writes its document. What hibernated
// is marked as running, so that a killed server never resumes it a second time.
func (s *session) record() error {
	st := s.m.cfg.Store
	if st == nil {
		return nil
	}
	var lease store.Lease
	err := st.Update(s.life, func(tx store.Tx) (err error) {
		if lease, err = tx.AcquireLease(leaseName(s.key), s.m.cfg.Owner, leaseTime); err != nil {
			return err
		}
		return write(tx, s.key, sessionState{
			Status: Active, Key: s.key, Epoch: lease.Epoch, Version: s.plan.Version, Started: tx.Now(), LastUsed: tx.Now(),
		})
	})
	switch {
	case errors.Is(err, store.ErrHeld):
		return fmt.Errorf("%w: %w", ErrElsewhere, err)
	case err == nil:
		s.lease = &lease
		return nil
	case s.sleeper != nil || s.life.Err() != nil:
		return err
	}
	// A full disk must not keep anybody from working. One data directory has
	// one process, so nobody else runs the session.
	s.m.cfg.Log.Warn("record session: it runs unrecorded", "session", s.key.ID, "owner", s.key.Owner, "error", err)
	return nil
}

// write creates or replaces a document.
func write(tx store.Tx, key Key, state sessionState) error {
	doc, err := sessions().Get(tx, key.Scope, documentID(key))
	switch {
	case errors.Is(err, store.ErrNotFound):
		_, err = sessions().Create(tx, document{Scope: key.Scope, ID: documentID(key), Parent: key.Owner, Spec: json.RawMessage("{}"), State: state})
		return err
	case err != nil:
		return err
	}
	doc.State = state
	_, err = sessions().Replace(tx, doc)
	return err
}

// recordSleep writes that the session hibernates and gives up its lease. From
// here on it outlives the process.
func (s *session) recordSleep(d *sleeper) error {
	if s.lease == nil {
		return errors.New("it runs unrecorded")
	}
	return s.m.cfg.Store.Update(context.WithoutCancel(s.life), func(tx store.Tx) error {
		if err := tx.ReleaseLease(*s.lease); err != nil {
			return err
		}
		return write(tx, s.key, d.state)
	})
}

// forgetRecord removes the document and the lease of a session that has ended.
func (s *session) forgetRecord() {
	s.m.mu.Lock()
	slept := s.slept != nil && s.status == Hibernating
	s.m.mu.Unlock()
	if s.lease == nil || slept {
		return
	}
	err := s.m.cfg.Store.Update(context.WithoutCancel(s.life), func(tx store.Tx) error {
		if err := tx.ReleaseLease(*s.lease); err != nil && !errors.Is(err, store.ErrLost) {
			return err
		}
		return deleteDocument(tx, s.key, s.lease.Epoch)
	})
	if err != nil {
		// The next start finds that it is over.
		s.m.cfg.Log.Warn("forget session", "session", s.key.ID, "owner", s.key.Owner, "error", err)
	}
}

// forgetDocument removes the document of a session, unless somebody has it who
// came later.
func (m *Manager) forgetDocument(key Key, epoch int64) {
	if m.cfg.Store == nil || epoch == 0 {
		return
	}
	err := m.cfg.Store.Update(context.Background(), func(tx store.Tx) error { return deleteDocument(tx, key, epoch) })
	if err != nil {
		m.cfg.Log.Warn("forget session", "session", key.ID, "owner", key.Owner, "error", err)
	}
}

// deleteDocument removes a document of this epoch, if there is one.
func deleteDocument(tx store.Tx, key Key, epoch int64) error {
	doc, err := sessions().Get(tx, key.Scope, documentID(key))
	if errors.Is(err, store.ErrNotFound) || err == nil && doc.State.Epoch != epoch {
		return nil
	}
	if err != nil {
		return err
	}
	return sessions().Delete(tx, key.Scope, doc.ID)
}

// Recover takes up the sessions that another process of this node left: those
// that hibernate can be woken, those that ran are lost, and so are those whose file is
// not there, as after a restore; files that nobody refers to are removed. It is
// called before the first Acquire. A disk that is full keeps it from nothing but
// removing the documents of the lost, which the next process finds again.
func (m *Manager) Recover(ctx context.Context) error {
	if m.cfg.Store == nil {
		if m.cfg.Hibernated != nil {
			m.cfg.Hibernated.Retain(nil)
		}
		return nil
	}
	var keep []snapshot.Key
	var found []*sleeper
	var over []sessionState
	err := m.cfg.Store.View(ctx, func(r store.Reader) error {
		keep, found, over = nil, nil, nil
		for doc, err := range sessions().All(r) {
			if err != nil {
				return err
			}
			if m.recoverable(doc.State) {
				d := &sleeper{m: m, state: doc.State}
				keep, found = append(keep, d.file()), append(found, d)
			} else {
				over = append(over, doc.State)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("recover sessions: %w", err)
	}
	if m.cfg.Hibernated != nil {
		m.cfg.Hibernated.Retain(keep)
	}
	lost, err := m.bury(store.Freeing(ctx), over)
	if errors.Is(err, store.ErrFull) {
		m.cfg.Log.Warn("remove the records of lost sessions: the next server will", "error", err)
	} else if err != nil {
		return fmt.Errorf("recover sessions: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, st := range lost {
		m.lost[st.Key] = st.Status
	}
	for _, d := range found {
		m.lay(d)
	}
	return nil
}

// bury says in the logs of those sessions that nobody else runs that they are over,
// and removes their documents once that is on the disk: a process that dies in
// between leaves it to the next to say. It returns which they are.
func (m *Manager) bury(ctx context.Context, over []sessionState) (lost []sessionState, err error) {
	if len(over) == 0 {
		return nil, nil
	}
	err = m.cfg.Store.Update(ctx, func(tx store.Tx) error {
		lost = nil
		for _, st := range over {
			abandoned, err := m.abandoned(tx, st.Key)
			if err != nil {
				return err
			}
			if abandoned {
				lost = append(lost, st)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, st := range lost {
		m.cfg.Log.Info("a session was lost", "session", st.Key.ID, "owner", st.Key.Owner, "reason", whyLost(st.Status))
		m.note(st.Key, "session ended: "+whyLost(st.Status))
	}
	if m.cfg.Noted != nil {
		if err := m.cfg.Noted(ctx); err != nil {
			m.cfg.Log.Warn("note that sessions ended: the next server will", "error", err)
			return lost, ctx.Err()
		}
	}
	return lost, m.cfg.Store.Update(ctx, func(tx store.Tx) error {
		for _, st := range lost {
			if err := deleteDocument(tx, st.Key, st.Epoch); err != nil {
				return err
			}
		}
		return nil
	})
}

// note writes into the log of a session that has no plan now.
func (m *Manager) note(key Key, text string) {
	if m.cfg.Note != nil {
		m.cfg.Note(key, text)
	}
}

// mourn says in a new session's log that the one before it was lost. It is said
// once.
func (s *session) mourn() {
	s.m.mu.Lock()
	was, lost := s.m.lost[s.key]
	delete(s.m.lost, s.key)
	s.m.mu.Unlock()
	if lost {
		s.plan.note("the session starts afresh: " + whyLost(was))
	}
}

// whyLost is what became of a session that was in this status when its process ended.
func whyLost(was Status) string {
	if was == Hibernated {
		return "the file in which it hibernated is gone"
	}
	return "the server that ran it ended"
}

func (m *Manager) recoverable(state sessionState) bool {
	if state.Status != Hibernated || m.cfg.Hibernated == nil {
		return false
	}
	_, there := m.cfg.Hibernated.Stat(fileKey(state.Key, state.File))
	return there
}

// abandoned reports whether nobody runs a session of which there is a document,
// and frees its lease: not if it is another node's.
func (m *Manager) abandoned(tx store.Tx, key Key) (bool, error) {
	lease, err := tx.AcquireLease(leaseName(key), m.cfg.Owner, leaseTime)
	if errors.Is(err, store.ErrHeld) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, tx.ReleaseLease(lease)
}

// Run keeps the leases of what runs, and spares, until ctx ends. A session that
// somebody else has taken over is ended at once.
func (m *Manager) Run(ctx context.Context) error {
	var spares sync.WaitGroup
	defer spares.Wait()
	if m.KeepsSpares() {
		spares.Go(func() { m.keepSpares(ctx) })
	}
	if m.cfg.Store == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	beat := time.NewTicker(leaseTime / 3)
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := m.renew(ctx); err != nil && ctx.Err() == nil {
			m.cfg.Log.Error("keep sessions", "error", err)
		}
	}
}

// renew renews all leases in one transaction.
func (m *Manager) renew(ctx context.Context) error {
	held := map[*session]store.Lease{}
	m.mu.Lock()
	for _, s := range m.sessions {
		if s.begun && s.lease != nil && s.status != Hibernating {
			held[s] = *s.lease
		}
	}
	m.mu.Unlock()
	if len(held) == 0 {
		return nil
	}
	var lost []*session
	err := m.cfg.Store.Update(ctx, func(tx store.Tx) error {
		lost = nil
		for s, lease := range held {
			switch _, err := tx.RenewLease(lease, leaseTime); {
			case errors.Is(err, store.ErrLost):
				lost = append(lost, s)
			case err != nil:
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, s := range lost {
		if m.ending(s) {
			continue
		}
		m.cfg.Log.Error("a session was taken over", "session", s.key.ID, "owner", s.key.Owner)
		go s.stop("another server has taken it over", 0)
	}
	return nil
}

// ending reports whether a session gives its lease up by itself.
func (m *Manager) ending(s *session) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return s.status == Stopping || s.status == Hibernating || s.dead()
}
