package search

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// TestFuse joins rankings: what both find comes before what one finds.
func TestFuse(t *testing.T) {
	for _, tt := range []struct {
		words, near []int
		want        string
	}{
		{[]int{1, 2, 3}, []int{3, 4}, "[3 4 1 2]"},
		{nil, []int{5, 6}, "[5 6]"},
		{[]int{5, 6}, nil, "[5 6]"},
		{nil, nil, "[]"},
		{[]int{7, 8}, []int{7, 8}, "[7 8]"},
	} {
		if got := fmt.Sprint(fuse(9, tt.words, tt.near)); got != tt.want {
			t.Errorf("%v and %v: %s, want %s", tt.words, tt.near, got, tt.want)
		}
	}
}

// TestNearest leaves out vectors that another model has made.
func TestNearest(t *testing.T) {
	all := []vector{{1, 0}, {0, 1}, {1}, nil, {0, 1}}
	if got := fmt.Sprint(nearest(vector{0, 1}, all)); got != "[1 4 0]" {
		t.Error(got)
	}
}

// TestKnowsJapanese tells models that know the language from those that do not.
func TestKnowsJapanese(t *testing.T) {
	translating := func(knows int) func(context.Context, []string) ([]vector, error) {
		return func(_ context.Context, texts []string) ([]vector, error) {
			var out []vector
			for i := range texts {
				v := make(vector, len(texts))
				if i < knows || texts[0] == probeEnglish[0] {
					v[i] = 1
				} else {
					v[0] = 1
				}
				out = append(out, v)
			}
			return out, nil
		}
	}
	for knows, want := range map[int]bool{0: false, 6: false, 7: true, 12: true} {
		if got, err := knowsJapanese(t.Context(), translating(knows)); got != want || err != nil {
			t.Errorf("%d right: %v %v", knows, got, err)
		}
	}
	planted := errors.New("planted")
	if _, err := knowsJapanese(t.Context(), func(context.Context, []string) ([]vector, error) { return nil, planted }); !errors.Is(err, planted) {
		t.Error(err)
	}
	for query, want := range map[string]bool{"天気": true, "EC2インスタンスを止めて": true, "restart the サーバー please now": false, "weather": false, "": false, "?!": false} {
		if mostlyUnspaced(query) != want {
			t.Errorf("%s: %v", query, !want)
		}
	}
}

// TestCache forgets what was wanted longest ago.
func TestCache(t *testing.T) {
	c := newCache(3 * cost(make(vector, 10)))
	key := func(i int) digest { return digest{byte(i)} }
	for i := range 3 {
		c.put(key(i), make(vector, 10))
	}
	c.get(key(0))
	c.put(key(3), make(vector, 10))
	c.put(key(3), make(vector, 10))
	var kept []int
	for i := range 4 {
		if c.get(key(i)) != nil {
			kept = append(kept, i)
		}
	}
	if !slices.Equal(kept, []int{0, 2, 3}) || c.size != 3*cost(make(vector, 10)) {
		t.Errorf("%v, %d bytes", kept, c.size)
	}
	c.put(key(9), make(vector, 10000))
	if c.recent.Len() != 1 || c.get(key(9)) == nil {
		t.Errorf("one that is larger than all: %d", c.recent.Len())
	}
}
