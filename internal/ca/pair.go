package ca

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookAgain is how often the files are looked at, at most.
const lookAgain = time.Second

// Pair is a certificate of the operator's and its key. It is read again when its
// files change, so that whoever renews it has to tell nobody. It is safe for
// concurrent use.
type Pair struct {
	certFile, keyFile string
	now               func() time.Time
	log               *slog.Logger

	mu      sync.Mutex
	cert    *tls.Certificate
	seen    [2]stamp
	checked time.Time
}

// stamp tells one version of a file from another.
type stamp struct {
	changed time.Time
	size    int64
}

// OpenPair reads a certificate chain and its key, both in PEM.
func OpenPair(certFile, keyFile string, now func() time.Time, log *slog.Logger) (*Pair, error) {
	p := &Pair{certFile: certFile, keyFile: keyFile, now: now, log: log, checked: now()}
	p.seen = p.stamps()
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("read certificate %s with key %s: %w", certFile, keyFile, err)
	}
	p.cert = &cert
	return p, nil
}

// Certificate returns the newest that could be read. While only one of the two
// files is new they do not fit, and the one before stays.
func (p *Pair) Certificate() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.now(); now.Sub(p.checked) < lookAgain {
		return p.cert
	} else {
		p.checked = now
	}
	seen := p.stamps()
	if seen == p.seen {
		return p.cert
	}
	p.seen = seen
	cert, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		p.log.Warn("certificate was not read again; the one before stays", "file", p.certFile, "error", err)
		return p.cert
	}
	p.log.Info("certificate was read again", "file", p.certFile, "until", cert.Leaf.NotAfter)
	p.cert = &cert
	return p.cert
}

// stamps looks at the files; one that is not there has none.
func (p *Pair) stamps() (out [2]stamp) {
	for i, name := range []string{p.certFile, p.keyFile} {
		if info, err := os.Stat(name); err == nil {
			out[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return out
}
