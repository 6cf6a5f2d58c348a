package target

import (
	"fmt"
	"testing"
)

// TestPlaces: an account that has as many streams as are left gets no more, and the last one
// goes to one that has none.
func TestPlaces(t *testing.T) {
	p := NewPlaces(1000)
	take := func(account string) (leave []func()) {
		for one := p.Take(account); one != nil; one = p.Take(account) {
			leave = append(leave, one)
		}
		return leave
	}
	first, second, third := take("1"), take("2"), take("3")
	if len(first) != 500 || len(second) != 250 || len(third) != 125 || p.all != 875 {
		t.Errorf("%d, %d, %d of %d", len(first), len(second), len(third), p.all)
	}
	var more []func()
	for i := 4; p.all < p.Most(); i++ {
		if more = append(more, take(fmt.Sprint(i))...); i > 20 {
			t.Fatalf("%d are taken at last", p.all)
		}
	}
	for _, one := range more {
		one()
	}
	for _, one := range append(first[1:], second...) {
		one()
	}
	if again := len(take("3")); again != 375 {
		t.Errorf("%d more when others have left", again)
	}
	if len(p.of) != 2 {
		t.Errorf("%v are remembered", p.of)
	}
}
