package store_test

import (
	"testing"

	"github.com/outcrop/outcrop/internal/store"
)

func TestCache(t *testing.T) {
	var topics store.Topics
	const topic = store.Topic("t")
	c := store.Cache[string, int]{Most: 2}
	if _, ok := c.Get("a"); ok {
		t.Fatal("an empty cache has a value")
	}
	watch := topics.Watch(topic)
	c.Put("a", 1, watch)
	c.Put("b", 2, topics.Watch(topic))
	if v, ok := c.Get("a"); !ok || v != 1 {
		t.Fatalf("a is %d, %v; want 1", v, ok)
	}
	c.Put("c", 3, topics.Watch(topic)) // one too many
	if _, ok := c.Get("a"); ok {
		t.Error("a cache of two holds three")
	}
	if v, ok := c.Get("c"); !ok || v != 3 {
		t.Errorf("c is %d, %v; want 3", v, ok)
	}
	topics.Wake(topic)
	if _, ok := c.Get("c"); ok {
		t.Error("a value outlived a write")
	}
	c.Put("a", 1, watch) // read before the write
	if _, ok := c.Get("a"); ok {
		t.Error("what was read before a write is held after it")
	}
}
