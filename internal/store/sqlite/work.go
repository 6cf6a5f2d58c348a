package sqlite

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

const workColumns = `id, kind, key, payload, not_before, attempt, last_error, created,
	node, process, epoch, lease_until`

// headOfKey leaves out what must wait for an older item of the same key.
const headOfKey = ` AND NOT EXISTS (SELECT 1 FROM work o WHERE o.key = w.key AND o.id < w.id)`

func scanWork(scan func(...any) error) (w store.Work, err error) {
	var payload string
	var notBefore, created, leaseUntil int64
	err = scan(&w.ID, &w.Kind, &w.Key, &payload, &notBefore, &w.Attempt, &w.LastError, &created,
		&w.Owner.Node, &w.Owner.Process, &w.Epoch, &leaseUntil)
	w.Payload = json.RawMessage(payload)
	w.NotBefore, w.Created, w.LeaseUntil = instant(notBefore), instant(created), instant(leaseUntil)
	return w, err
}

func (t *tx) works(query string, args ...any) (out []store.Work, err error) {
	err = t.list(query, args, func(scan func(...any) error) error {
		w, err := scanWork(scan)
		out = append(out, w)
		return err
	})
	return out, err
}

// Work implements store.WorkReader.
func (t *tx) Work(id int64) (store.Work, error) {
	found, err := t.works(`SELECT `+workColumns+` FROM work WHERE id = ?`, id)
	if err == nil && len(found) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Work{}, fmt.Errorf("get work item %d: %w", id, err)
	}
	return found[0], nil
}

// WorkOf implements store.WorkReader.
func (t *tx) WorkOf(key string) ([]store.Work, error) {
	found, err := t.works(`SELECT `+workColumns+` FROM work WHERE key = ? ORDER BY id`, key)
	if err != nil {
		return nil, fmt.Errorf("list work of %s: %w", key, err)
	}
	return found, nil
}

// CountWork implements store.WorkReader.
func (t *tx) CountWork(prefix string) (int, error) {
	var n int64
	// No key goes on with the last of all characters.
	if err := t.get(`SELECT count(*) FROM work WHERE key >= ? AND key < ?`, []any{prefix, prefix + "\U0010FFFF"}, &n); err != nil {
		return 0, fmt.Errorf("count work of %s: %w", prefix, err)
	}
	return int(n), nil
}

// NextWork implements store.WorkReader.
func (t *tx) NextWork(owner store.Owner, kinds []string) (time.Time, bool, error) {
	in, args := kindList(kinds)
	var n, next int64
	err := t.get(`SELECT count(*), COALESCE(min(CASE WHEN node = ? AND process <> ? THEN not_before
		ELSE max(not_before, lease_until) END), 0)
		FROM work w WHERE kind IN (`+in+`)`+headOfKey, append([]any{owner.Node, owner.Process}, args...), &n, &next)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("look for next work: %w", err)
	}
	return instant(next), n > 0, nil
}

// EnqueueWork implements store.WorkWriter.
func (t *tx) EnqueueWork(w store.Work) (store.Work, error) {
	if err := w.Check(); err != nil {
		return w, err
	}
	w = store.Work{Kind: w.Kind, Key: w.Key, Payload: w.Payload, NotBefore: w.NotBefore.UTC().Truncate(time.Microsecond), Created: t.now}
	if w.NotBefore.Before(t.now) {
		w.NotBefore = t.now
	}
	var err error
	w.ID, err = t.insert(`INSERT INTO work
		(kind, key, payload, not_before, attempt, last_error, created, node, process, epoch, lease_until)
		VALUES (?, ?, ?, ?, 0, '', ?, '', '', 0, 0)`,
		w.Kind, w.Key, string(w.Payload), micros(w.NotBefore), micros(w.Created))
	if err != nil {
		return w, fmt.Errorf("enqueue work %s: %w", w, err)
	}
	t.Touch(store.WorkTopic)
	return w, nil
}

// ClaimWork implements store.WorkWriter.
func (t *tx) ClaimWork(owner store.Owner, kinds []string, ttl time.Duration, limit int) ([]store.Work, error) {
	if !owner.Valid() || ttl <= 0 {
		return nil, fmt.Errorf("claim work for %s: %w", owner, store.ErrInvalid)
	}
	in, args := kindList(kinds)
	args = append(args, micros(t.now), micros(t.now), owner.Node, owner.Process, limit)
	found, err := t.works(`SELECT `+workColumns+` FROM work w WHERE kind IN (`+in+`) AND not_before <= ?
		AND (lease_until <= ? OR (node = ? AND process <> ?))`+headOfKey+` ORDER BY id LIMIT ?`, args...)
	for i := range found {
		if err != nil {
			break
		}
		w := &found[i]
		w.Owner, w.LeaseUntil = owner, t.expiry(ttl)
		w.Attempt++
		if w.Epoch, err = t.nextEpoch(); err == nil {
			_, err = t.exec(`UPDATE work SET attempt = ?, node = ?, process = ?, epoch = ?, lease_until = ? WHERE id = ?`,
				w.Attempt, owner.Node, owner.Process, w.Epoch, micros(w.LeaseUntil), w.ID)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("claim work: %w", err)
	}
	return found, nil
}

// RenewWork implements store.WorkWriter.
func (t *tx) RenewWork(w store.Work, ttl time.Duration) (store.Work, error) {
	w.LeaseUntil = t.expiry(ttl)
	err := t.owned(t.exec(`UPDATE work SET lease_until = ? WHERE id = ? AND epoch = ? AND epoch > 0`, micros(w.LeaseUntil), w.ID, w.Epoch))
	if err != nil {
		return w, fmt.Errorf("renew work %s: %w", w, err)
	}
	return w, nil
}

// CompleteWork implements store.WorkWriter.
func (t *tx) CompleteWork(w store.Work) error {
	err := t.owned(t.exec(`DELETE FROM work WHERE id = ? AND epoch = ? AND epoch > 0`, w.ID, w.Epoch))
	if err != nil {
		return fmt.Errorf("complete work %s: %w", w, err)
	}
	t.Touch(store.WorkTopic)
	return nil
}

// RetryWork implements store.WorkWriter.
func (t *tx) RetryWork(w store.Work) error {
	if err := w.Check(); err != nil {
		return err
	}
	err := t.owned(t.exec(`UPDATE work SET payload = ?, not_before = ?, attempt = ?, last_error = ?,
		node = '', process = '', epoch = 0, lease_until = 0 WHERE id = ? AND epoch = ? AND epoch > 0`,
		string(w.Payload), max(micros(w.NotBefore), micros(w.Created)), w.Attempt, w.LastError, w.ID, w.Epoch))
	if err != nil {
		return fmt.Errorf("retry work %s: %w", w, err)
	}
	t.Touch(store.WorkTopic)
	return nil
}

// CancelWork implements store.WorkWriter.
func (t *tx) CancelWork(key string) (int64, error) {
	n, err := t.exec(`DELETE FROM work WHERE key = ? AND lease_until = 0`, key)
	if err != nil {
		return 0, fmt.Errorf("cancel work of %s: %w", key, err)
	}
	t.Touch(store.WorkTopic)
	return n, nil
}

// kindList writes the kinds into an IN; none match none.
func kindList(kinds []string) (in string, args []any) {
	for _, k := range kinds {
		args = append(args, k)
	}
	return strings.TrimSuffix(strings.Repeat("?,", len(kinds)), ","), args
}
