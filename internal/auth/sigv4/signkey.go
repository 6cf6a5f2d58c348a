package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"sync"
)

// keyScope is what a signing key is derived from. The secret itself is part of
// it, so a key that was replaced can never be answered from the cache.
type keyScope struct{ secret, date, region, service string }

// signingKey derives the key of one day, region and service.
func (k keyScope) signingKey() [32]byte {
	key := mac([]byte("AWS4"+k.secret), k.date)
	key = mac(key[:], k.region)
	key = mac(key[:], k.service)
	return mac(key[:], terminator)
}

func mac[T string | []byte](key []byte, data T) (sum [32]byte) {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	h.Sum(sum[:0])
	return sum
}

// keyCache keeps the signing keys in use, at most twice size of them. When the
// young generation is full it becomes the old one and the old one is forgotten;
// a key that is still used moves on. Only verified requests enter, so nobody
// without a secret can push anything out.
type keyCache struct {
	size       int
	mu         sync.RWMutex
	young, old map[keyScope][32]byte
}

func newKeyCache(size int) *keyCache {
	return &keyCache{size: size, young: map[keyScope][32]byte{}}
}

func (c *keyCache) get(k keyScope) (key [32]byte, fresh bool) {
	c.mu.RLock()
	key, fresh = c.young[k]
	if !fresh {
		key = c.old[k]
	}
	c.mu.RUnlock()
	if key == ([32]byte{}) {
		key = k.signingKey()
	}
	return key, fresh
}

func (c *keyCache) put(k keyScope, key [32]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= c.size {
		c.young, c.old = make(map[keyScope][32]byte, c.size), c.young
	}
	c.young[k] = key
}
