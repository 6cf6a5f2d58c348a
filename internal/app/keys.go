package app

import (
	"crypto/rand"
	"time"

	"github.com/outcrop/outcrop/internal/key"
	"github.com/outcrop/outcrop/internal/secretstore"
)

// openKeys makes the keys of KMS and the secrets of Secrets Manager.
func openKeys(cfg Config, f foundation) (*key.Keys, *secretstore.Secrets) {
	keys := key.New(key.Config{Store: f.store, Box: f.box, Rand: rand.Reader, Now: time.Now, Log: cfg.Log})
	secrets := secretstore.New(secretstore.Config{
		Store: f.store, Box: f.box, Keys: identityKeys{keys}, Rand: rand.Reader, Now: time.Now, Log: cfg.Log,
	})
	return keys, secrets
}
