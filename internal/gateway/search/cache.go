package search

import "container/list"

// cache keeps the vectors that were wanted last, within so many bytes.
type cache struct {
	most, size int
	byDigest   map[digest]*list.Element
	recent     *list.List // of *cached, the latest first
}

type cached struct {
	key    digest
	vector vector
}

func newCache(most int) cache {
	return cache{most: most, byDigest: map[digest]*list.Element{}, recent: list.New()}
}

// cost is about what a vector takes with what stands around it, in bytes.
func cost(v vector) int { return 4*len(v) + 256 }

func (c *cache) get(key digest) vector {
	e := c.byDigest[key]
	if e == nil {
		return nil
	}
	c.recent.MoveToFront(e)
	return e.Value.(*cached).vector
}

func (c *cache) put(key digest, v vector) {
	if c.get(key) != nil {
		return
	}
	c.byDigest[key] = c.recent.PushFront(&cached{key, v})
	c.size += cost(v)
	for c.size > c.most && c.recent.Len() > 1 {
		last := c.recent.Remove(c.recent.Back()).(*cached)
		delete(c.byDigest, last.key)
		c.size -= cost(last.vector)
	}
}
