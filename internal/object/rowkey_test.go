package object

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// FuzzRowKeys holds that row keys come apart again, and sort as the keys do: all
// rows of one before all rows of the next, the newest version first.
func FuzzRowKeys(f *testing.F) {
	for _, s := range []string{"", "a", "ab", "a\x00", "a\x00\x01", "a\x00\xff", "a\x01", "\x00\x00", "é", "\U0010ffff"} {
		f.Add(s, "a", uint64(1), uint64(2))
		f.Add("a", s, uint64(7), uint64(7))
	}
	f.Fuzz(func(t *testing.T, one, two string, seqOne, seqTwo uint64) {
		if CheckKey(one) != nil || CheckKey(two) != nil {
			return
		}
		a, b := versionKey("bucket", one, seqOne), versionKey("bucket", two, seqTwo)
		key, rest, ok := cutKey(a[len("bucket")+1:])
		seq, seqOK := seqOf(rest)
		if !ok || !seqOK || key != one || seq != seqOne {
			t.Fatalf("%q %d came back as %q %d", one, seqOne, key, seq)
		}
		want := cmp.Or(strings.Compare(one, two), -cmp.Compare(seqOne, seqTwo))
		if got := bytes.Compare(a, b); got != want {
			t.Fatalf("%q %d and %q %d compare as %d", one, seqOne, two, seqTwo, got)
		}
		after := append(currentKey("bucket", escapeKey(one)), afterKey...)
		if one != two && (bytes.Compare(after, b) < 0) != (one < two) || bytes.Compare(after, a) < 0 {
			t.Fatalf("the place after %q is wrong for %q", one, two)
		}
		if got, want := bytes.HasPrefix([]byte(escapeKey(two)), []byte(escapeKey(one))), strings.HasPrefix(two, one); got != want {
			t.Fatalf("%q is a prefix of %q: escaped %t, plain %t", one, two, got, want)
		}
		if len(a) > store.MaxRowKey {
			t.Fatalf("row key of %q has %d bytes", one, len(a))
		}
	})
}

// FuzzMarkers gives listings markers and tokens that nobody made.
func FuzzMarkers(f *testing.F) {
	st := newStamp(7, [stampRandom]byte{1})
	f.Add(st.String())
	f.Add(listToken("bucket", "key", true))
	f.Add(listToken("bucket", "", false))
	f.Add(listToken("bucket", "key", false)[:2] + "\r" + listToken("bucket", "key", false)[2:])
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if st, ok := parseStamp(text); ok && st.String() != text {
			t.Fatalf("%q is a second text of %q", text, st)
		}
		if position, isPrefix, ok := openListToken("bucket", text); ok && listToken("bucket", position, isPrefix) != text {
			t.Fatalf("%q is a second token of %q", text, position)
		}
		if _, _, ok := openListToken("another", listToken("bucket", text, true)); ok {
			t.Fatalf("a token for %q is taken for another bucket", text)
		}
	})
}

// FuzzContent gives the decoders rows that are damaged.
func FuzzContent(f *testing.F) {
	f.Add(content{kind: kindSmall, refs: 1, size: 3, bytes: []byte("abc")}.encode())
	f.Add(content{kind: kindFile, refs: 300, size: MaxPutSize}.encode())
	f.Add(content{kind: kindList, refs: 2, size: MaxObjectSize, parts: MaxParts}.encode())
	f.Add(encodeMembers([]member{{id: segment.ID{1}, size: 5, number: 1, sum: []byte{1, 2}}, {id: segment.ID{2}, number: MaxParts}}))
	f.Add([]byte{contentVersion})
	f.Fuzz(func(t *testing.T, row []byte) {
		if c, err := decodeContent(row); err == nil {
			again, err := decodeContent(c.encode())
			if err != nil || again.kind != c.kind || again.refs != c.refs || again.size != c.size || again.parts != c.parts || !bytes.Equal(again.bytes, c.bytes) {
				t.Fatalf("%+v came back as %+v, %v", c, again, err)
			}
		}
		if members, err := decodeMembers(row); err == nil {
			again, err := decodeMembers(encodeMembers(members))
			if err != nil || !slices.EqualFunc(again, members, func(a, b member) bool {
				return a.id == b.id && a.size == b.size && a.number == b.number && bytes.Equal(a.sum, b.sum)
			}) {
				t.Fatalf("%+v came back as %+v, %v", members, again, err)
			}
		}
	})
}

func TestSequenceFollowsTimeAndNeverStands(t *testing.T) {
	now := time.UnixMicro(1000)
	if got := nextSeq(5, now); got != 1000 {
		t.Errorf("after 5 at 1000 comes %d", got)
	}
	if got := nextSeq(2000, now); got != 2001 {
		t.Errorf("after 2000 at 1000 comes %d", got)
	}
	if got := nextSeq(0, time.UnixMicro(-5)); got != 1 {
		t.Errorf("after 0 before 1970 comes %d", got)
	}
}
