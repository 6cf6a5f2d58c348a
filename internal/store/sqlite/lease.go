package sqlite

import (
	"errors"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

const leaseColumns = `name, node, process, epoch, expires`

func scanLease(scan func(...any) error) (l store.Lease, err error) {
	var expires int64
	err = scan(&l.Name, &l.Owner.Node, &l.Owner.Process, &l.Epoch, &expires)
	l.Expires = instant(expires)
	return l, err
}

// Lease implements store.LeaseReader.
func (t *tx) Lease(name string) (store.Lease, error) {
	leases, err := t.leases(`name = ?`, name)
	if err == nil && len(leases) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Lease{}, fmt.Errorf("get lease %s: %w", name, err)
	}
	return leases[0], nil
}

// Leases implements store.LeaseReader.
func (t *tx) Leases(prefix string) ([]store.Lease, error) {
	where, args := `name >= ?`, []any{prefix}
	if end := store.PrefixEnd([]byte(prefix)); end != nil {
		// Text compares byte by byte (BINARY), so the end need not be UTF-8.
		where, args = where+` AND name < CAST(? AS TEXT)`, append(args, end)
	}
	leases, err := t.leases(where+` ORDER BY name`, args...)
	if err != nil {
		return nil, fmt.Errorf("list leases: %w", err)
	}
	return leases, nil
}

func (t *tx) leases(where string, args ...any) (out []store.Lease, err error) {
	err = t.list(`SELECT `+leaseColumns+` FROM leases WHERE `+where, args, func(scan func(...any) error) error {
		l, err := scanLease(scan)
		out = append(out, l)
		return err
	})
	return out, err
}

// AcquireLease implements store.LeaseWriter.
func (t *tx) AcquireLease(name string, owner store.Owner, ttl time.Duration) (store.Lease, error) {
	if err := store.CheckLease(name, owner, ttl); err != nil {
		return store.Lease{}, err
	}
	held, err := t.Lease(name)
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return store.Lease{}, err
	case held.Owner == owner:
		return t.RenewLease(held, ttl)
	case held.Owner.Node != owner.Node && held.Expires.After(t.now):
		return store.Lease{}, &store.HeldError{Name: name, Owner: held.Owner, Expires: held.Expires}
	}
	l := store.Lease{Name: name, Owner: owner, Expires: t.expiry(ttl)}
	if l.Epoch, err = t.nextEpoch(); err == nil {
		_, err = t.exec(`INSERT INTO leases (`+leaseColumns+`) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET node = excluded.node, process = excluded.process,
			epoch = excluded.epoch, expires = excluded.expires`,
			l.Name, owner.Node, owner.Process, l.Epoch, micros(l.Expires))
	}
	if err != nil {
		return store.Lease{}, fmt.Errorf("acquire lease %s: %w", name, err)
	}
	return l, nil
}

// RenewLease implements store.LeaseWriter.
func (t *tx) RenewLease(l store.Lease, ttl time.Duration) (store.Lease, error) {
	l.Expires = t.expiry(ttl)
	err := t.owned(t.exec(`UPDATE leases SET expires = ? WHERE name = ? AND epoch = ?`, micros(l.Expires), l.Name, l.Epoch))
	if err != nil {
		return store.Lease{}, fmt.Errorf("renew lease %s: %w", l.Name, err)
	}
	return l, nil
}

// ReleaseLease implements store.LeaseWriter.
func (t *tx) ReleaseLease(l store.Lease) error {
	err := t.owned(t.exec(`DELETE FROM leases WHERE name = ? AND epoch = ?`, l.Name, l.Epoch))
	if err != nil {
		return fmt.Errorf("release lease %s: %w", l.Name, err)
	}
	return nil
}

// expiry is ttl from now. It is rounded up, for a lease must not end early.
func (t *tx) expiry(ttl time.Duration) time.Time {
	return t.now.Add(ttl + time.Microsecond - 1).Truncate(time.Microsecond)
}

// owned turns a change of no row into store.ErrLost.
func (t *tx) owned(n int64, err error) error {
	if err == nil && n == 0 {
		return store.ErrLost
	}
	return err
}
