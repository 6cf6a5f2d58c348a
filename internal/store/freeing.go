package store

import "context"

type freeingKey struct{}

// Freeing marks the Updates under the context it returns as ones that make room,
// or lead there: deletes, and the work that ends what was begun. On a full disk
// an implementation may let them use what it has kept back for them, so that
// whoever has filled a disk can empty it again.
func Freeing(ctx context.Context) context.Context {
	return context.WithValue(ctx, freeingKey{}, true)
}

// IsFreeing reports whether Freeing marked ctx.
func IsFreeing(ctx context.Context) bool {
	marked, _ := ctx.Value(freeingKey{}).(bool)
	return marked
}
