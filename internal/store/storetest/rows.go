package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/outcrop/outcrop/internal/store"
)

var rowTests = map[string]func(*testing.T, *env){
	"are put, replaced and deleted": func(t *testing.T, e *env) {
		key := []byte("a/\x00\xff")
		e.update(func(tx store.Tx) error { return tx.PutRow("t", key, []byte("1")) })
		e.update(func(tx store.Tx) error { return tx.PutRow("t", key, []byte{0, 1, 255}) })
		e.update(func(tx store.Tx) error { return tx.PutRow("t", []byte("empty"), nil) })
		e.view(func(r store.Reader) error {
			v, err := r.Row("t", key)
			equal(t, "value", string(v), "\x00\x01\xff")
			_, missing := r.Row("u", key)
			is(t, "another table", missing, store.ErrNotFound)
			if empty, err := r.Row("t", []byte("empty")); err != nil || len(empty) != 0 {
				t.Errorf("empty value: %q, %v", empty, err)
			}
			return err
		})
		e.update(func(tx store.Tx) error { return tx.DeleteRow("t", key) })
		e.update(func(tx store.Tx) error { return tx.DeleteRow("t", key) })
		e.refused(store.ErrNotFound, func(tx store.Tx) error { _, err := tx.Row("t", key); return err })
	},
	"have bounds": func(t *testing.T, e *env) {
		big := make([]byte, store.MaxRowValue)
		e.update(func(tx store.Tx) error { return tx.PutRow("t", make([]byte, store.MaxRowKey), big) })
		for _, row := range []store.Row{{}, {Key: make([]byte, store.MaxRowKey+1)}, {Key: []byte("k"), Value: append(big, 0)}} {
			e.refused(store.ErrInvalid, func(tx store.Tx) error { return tx.PutRow("t", row.Key, row.Value) })
		}
		e.refused(store.ErrInvalid, func(tx store.Tx) error { return tx.PutRow("", []byte("k"), nil) })
	},
	"scan as a sorted list would":        testScan,
	"may be written while they are read": testScanAndWrite,
	"come page by page":                  testEachRow,
}

func collect(t testing.TB, r store.RowReader, table string, rg store.Range) (keys []string) {
	t.Helper()
	for row, err := range r.Rows(table, rg) {
		if err != nil {
			t.Fatalf("scan: %v", err)
		}
		keys = append(keys, string(row.Key))
	}
	return keys
}

// testScan compares ranges with a sorted slice. The keys are short over a small
// alphabet with both ends of the byte, so that many are prefixes of others.
func testScan(t *testing.T, e *env) {
	rng := rand.New(rand.NewPCG(3, 4))
	alphabet := []byte{0, 'a', 'b', '/', 0xfe, 0xff}
	key := func() []byte {
		k := make([]byte, 1+rng.IntN(5))
		for i := range k {
			k[i] = alphabet[rng.IntN(len(alphabet))]
		}
		return k
	}
	model := map[string]bool{}
	e.update(func(tx store.Tx) error {
		for range 1500 {
			k := key()
			model[string(k)] = true
			if err := tx.PutRow("t", k, k); err != nil {
				return err
			}
		}
		return tx.PutRow("u", []byte("a"), nil)
	})
	var sorted []string
	for k := range model {
		sorted = append(sorted, k)
	}
	slices.Sort(sorted)
	expect := func(r store.Range) (want []string) {
		for _, k := range sorted {
			if bytes.Compare([]byte(k), r.From) >= 0 && (r.To == nil || bytes.Compare([]byte(k), r.To) < 0) {
				want = append(want, k)
			}
		}
		if r.Reverse {
			slices.Reverse(want)
		}
		if r.Limit > 0 && len(want) > r.Limit {
			want = want[:r.Limit]
		}
		return want
	}
	e.view(func(r store.Reader) error {
		for i := range 200 {
			rg := store.Range{Reverse: i%2 == 1, Limit: []int{0, 1, 3, 256, 300}[rng.IntN(5)]}
			switch i % 4 {
			case 0:
				p := store.Prefix(key())
				rg.From, rg.To = p.From, p.To
			case 1, 2:
				rg.From, rg.To = key(), key()
			}
			if got, want := collect(t, r, "t", rg), expect(rg); !slices.Equal(got, want) {
				t.Fatalf("range %+v: got %q, want %q", rg, got, want)
			}
		}
		return nil
	})
	e.update(func(tx store.Tx) error {
		rg := store.Prefix([]byte("a"))
		want := expect(rg)
		n, err := tx.DeleteRows("t", store.Range{From: rg.From, To: rg.To, Limit: 2})
		equal(t, "deleted with a limit", n, 2)
		equal(t, "first left", collect(t, tx, "t", rg)[0], want[2])
		if err != nil {
			return err
		}
		n, err = tx.DeleteRows("t", rg)
		equal(t, "deleted", int(n), len(want)-2)
		equal(t, "left", len(collect(t, tx, "t", store.Range{})), len(sorted)-len(want))
		equal(t, "other table", len(collect(t, tx, "u", store.Range{})), 1)
		return err
	})
}

func testScanAndWrite(t *testing.T, e *env) {
	const n = 1000
	e.update(func(tx store.Tx) error {
		for i := range n {
			if err := tx.PutRow("t", fmt.Appendf(nil, "%04d", i), nil); err != nil {
				return err
			}
		}
		return nil
	})
	e.update(func(tx store.Tx) error {
		seen := 0
		for row, err := range tx.Rows("t", store.Range{}) {
			if err != nil {
				return err
			}
			equal(t, "key", string(row.Key), fmt.Sprintf("%04d", seen))
			seen++
			if err := tx.DeleteRow("t", row.Key); err != nil {
				return err
			}
			row.Key[0] = 'x' // the slice is ours
		}
		equal(t, "seen", seen, n)
		equal(t, "left", len(collect(t, tx, "t", store.Range{})), 0)
		return nil
	})
}

// testEachRow has more rows than a page in number, and, of large ones, in bytes. The
// function writes, which it could not inside of a transaction.
func testEachRow(t *testing.T, e *env) {
	for table, rows := range map[string]struct{ number, size int }{"many": {2500, 0}, "large": {7, store.MaxRowValue/2 + 1}, "one page": {1000, 0}, "none": {}} {
		value := make([]byte, rows.size)
		e.update(func(tx store.Tx) error {
			for i := range rows.number {
				if err := tx.PutRow(table, fmt.Appendf(nil, "%04d", i), value); err != nil {
					return err
				}
			}
			return tx.PutRow("other", []byte("0000"), nil)
		})
		seen := 0
		err := store.EachRow(e.ctx, e.store, table, func(row store.Row) error {
			equal(t, table, string(row.Key), fmt.Sprintf("%04d", seen))
			equal(t, "size", len(row.Value), rows.size)
			if seen++; seen%1000 != 0 {
				return nil
			}
			key := bytes.Clone(row.Key)
			row.Key[0] = 'x' // the slice is ours
			return e.store.Update(e.ctx, func(tx store.Tx) error { return tx.DeleteRow(table, key) })
		})
		equal(t, "error", err, nil)
		equal(t, table, seen, rows.number)
	}
	enough := errors.New("enough")
	err := store.EachRow(e.ctx, e.store, "many", func(store.Row) error { return enough })
	equal(t, "error of the function", err, enough)
}
