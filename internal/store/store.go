// Package store is the contract for everything Outcrop must not lose: resource
// documents, ordered rows, leases, work items and the replies of idempotent
// calls.
//
// An implementation lives in a package named after its technology (sqlite) and
// passes the suite in storetest. Nothing of that technology shows here, so that
// one process on SQLite and many on PostgreSQL run the same services.
//
// # Rules of a transaction
//
//   - Transactions are serialisable: what a function reads inside Update is
//     still true when its writes become durable.
//   - The function may run more than once (a conflict between nodes is retried),
//     so it has no effect outside its Tx and assigns its results, never appends.
//   - It must not call Update or View of the same store, which would wait for
//     itself, and must not keep the Tx after it returns.
//   - It does no slow work: other writers wait for it, and a slow View keeps old
//     versions from being cleaned up.
//
// # Durability
//
// When Update has returned nil, its writes survive the death of the process
// (kill -9) and, as far as the disk keeps what fsync promised, a power failure.
// When it has returned an error, none of its writes happened, with one exception
// that no database can avoid: an error of the commit itself leaves it open.
package store

import (
	"context"
	"time"
)

// Store is one database. It is safe for concurrent use.
type Store interface {
	// Update runs fn in a write transaction and returns when its writes are
	// durable. An error of fn rolls back and is returned as it is.
	//
	// Updates that run at the same time may share one commit. One that fails
	// never takes another with it, except when the commit itself fails.
	Update(ctx context.Context, fn func(Tx) error) error

	// View runs fn on a consistent snapshot that holds every write
	// acknowledged before the call. It never waits for a writer.
	View(ctx context.Context, fn func(Reader) error) error

	// Changed returns a channel that is closed after the next commit that
	// changes topic. To miss nothing, call it before reading:
	//
	//	for {
	//		changed := s.Changed(topic)
	//		read()
	//		select {
	//		case <-changed:
	//		case <-ctx.Done():
	//			return
	//		}
	//	}
	//
	// A wake-up may be spurious. Nothing has to be released.
	Changed(topic Topic) <-chan struct{}

	// Watch begins to watch topic, for a cache: what is read afterwards may be kept
	// as long as the Watch holds. Nothing has to be released.
	Watch(topic Topic) Watch

	// Close waits for the transactions under way, refuses later ones with
	// ErrClosed and releases the files. A second call does nothing.
	Close() error
}

// Reader is what a transaction can read.
type Reader interface {
	DocumentReader
	RowReader
	LeaseReader
	WorkReader
	ReplyReader

	// Now is the time of the store's clock, in UTC and whole microseconds.
	Now() time.Time
}

// Tx is a write transaction. Its reads see its own writes.
type Tx interface {
	Reader
	DocumentWriter
	RowWriter
	LeaseWriter
	WorkWriter
	ReplyWriter

	// Touch wakes those who wait for topic once the transaction has committed.
	Touch(topic Topic)
}

// Topic names something that can change; see Store.Changed.
type Topic string

// WorkTopic changes when an item of work becomes claimable or goes away.
const WorkTopic Topic = "work"

// DocumentTopic changes when a document of kind is written or deleted.
func DocumentTopic(kind string) Topic { return Topic("document/" + kind) }

// RowTopic changes when a row of table is written or deleted.
func RowTopic(table string) Topic { return Topic("row/" + table) }
