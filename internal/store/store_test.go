package store_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"testing"

	"github.com/outcrop/outcrop/internal/store"
)

func TestPrefixEnd(t *testing.T) {
	for prefix, want := range map[string]string{"a": "b", "a/": "a0", "a\xff": "b", "a\xff\xff": "b", "a\xfe": "a\xff", "\xff": "", "": ""} {
		if got := string(store.PrefixEnd([]byte(prefix))); got != want {
			t.Errorf("%q: %q, want %q", prefix, got, want)
		}
	}
}

func TestPageLimit(t *testing.T) {
	for size, want := range map[int]int{-1: store.DefaultPageSize, 0: store.DefaultPageSize, 7: 7, 1 << 20: store.MaxPageSize} {
		if got := (store.Page{Size: size}).Limit(); got != want {
			t.Errorf("%d: %d, want %d", size, got, want)
		}
	}
}

// FuzzPageToken opens any text: it is ErrBadToken or a token made here.
func FuzzPageToken(f *testing.F) {
	f.Add("", "l")
	f.Add(store.PageToken("l", 7), "l")
	f.Add(store.PageToken("l", 7)+"=", "l")
	f.Add(base64.RawURLEncoding.EncodeToString(make([]byte, 17)), "l")
	f.Fuzz(func(t *testing.T, token, listing string) {
		position, err := store.PagePosition(listing, token)
		switch {
		case errors.Is(err, store.ErrBadToken) && token != "":
		case err != nil:
			t.Fatal(err)
		case token != "" && store.PageToken(listing, position) != token:
			t.Fatalf("%q was taken for position %d", token, position)
		}
	})
}

// FuzzPrefix checks that the range of a prefix holds just what begins with it.
func FuzzPrefix(f *testing.F) {
	f.Add([]byte("a/"), []byte("a/b"))
	f.Add([]byte("\xff"), []byte("\xff\xff"))
	f.Fuzz(func(t *testing.T, prefix, key []byte) {
		r := store.Prefix(prefix)
		in := bytes.Compare(key, r.From) >= 0 && (r.To == nil || bytes.Compare(key, r.To) < 0)
		if in != bytes.HasPrefix(key, prefix) {
			t.Fatalf("key %q, prefix %q: in range %t", key, prefix, in)
		}
	})
}
