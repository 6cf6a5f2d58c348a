package store

import (
	"fmt"
	"time"
)

// Owner is who holds a lease or works on an item.
type Owner struct {
	// Node is the machine's stable name. One node runs one process at a time,
	// which the node's own lock on its data directory guarantees.
	Node string
	// Process is new with each start. A lease of the same node but another
	// process belongs to a dead one, and is taken over at once.
	Process string
}

func (o Owner) String() string { return o.Node + "/" + o.Process }

// Valid reports whether both members are set.
func (o Owner) Valid() bool { return o.Node != "" && o.Process != "" }

// Lease is the right to be the only one who does something named.
type Lease struct {
	Name  string
	Owner Owner
	// Epoch is new with each change of hands and grows over the whole store, so
	// a name that was released and comes back never repeats one. What a holder
	// writes elsewhere carries it, and an older epoch is refused there.
	Epoch int64
	// Expires is when others may take it.
	Expires time.Time
}

// LeaseReader reads leases.
type LeaseReader interface {
	// Lease returns a lease, expired or not, or ErrNotFound.
	Lease(name string) (Lease, error)
	// Leases lists those whose name begins with prefix, by name.
	Leases(prefix string) ([]Lease, error)
}

// LeaseWriter takes and gives up leases.
type LeaseWriter interface {
	// AcquireLease takes a lease that is free, expired, or of a dead process
	// of the same node, with a new epoch. The owner's own lease is renewed and
	// keeps its epoch. Otherwise it is a *HeldError.
	AcquireLease(name string, owner Owner, ttl time.Duration) (Lease, error)
	// RenewLease moves the expiry of a lease that is still the caller's, even
	// if it has expired meanwhile. Otherwise it is ErrLost.
	RenewLease(l Lease, ttl time.Duration) (Lease, error)
	// ReleaseLease removes a lease that is still the caller's. Otherwise it is
	// ErrLost.
	ReleaseLease(l Lease) error
}

// CheckLease validates the arguments of AcquireLease.
func CheckLease(name string, owner Owner, ttl time.Duration) error {
	if name == "" || !owner.Valid() || ttl <= 0 {
		return fmt.Errorf("check lease %q of %s for %s: %w", name, owner, ttl, ErrInvalid)
	}
	return CheckText(name)
}
