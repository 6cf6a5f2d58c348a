package metadata

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"io"
	"strconv"
	"time"
)

// The headers of IMDSv2, as net/http keys them.
const (
	headerToken = "X-Aws-Ec2-Metadata-Token"
	headerLife  = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
)

// maxLife is the longest life of a token.
const maxLife = 21600 * time.Second

// parseLife reads the one value of the header: 1 to 21600 seconds.
func parseLife(values []string) (time.Duration, bool) {
	if len(values) != 1 {
		return 0, false
	}
	n, err := strconv.ParseUint(values[0], 10, 16)
	life := time.Duration(n) * time.Second
	return life, err == nil && life > 0 && life <= maxLife
}

// tokens issues tokens that prove by themselves until when they are good: to
// keep them would let a guest fill our memory. The key is the handler's own, so
// that a token is good in one session alone. A guest that is resumed as another
// session holds tokens of the old one; SDKs take the 401 as the order to ask
// for a new one.
type tokens struct {
	key [32]byte
	now func() time.Time
}

func newTokens(rand io.Reader, now func() time.Time) *tokens {
	t := &tokens{now: now}
	_, _ = io.ReadFull(rand, t.key[:]) // never fails (crypto/rand)
	return t
}

// A token is its end, in seconds of Unix time, and a MAC over that, in base64.
const tokenSize = 8 + sha256.Size

func (t *tokens) issue(life time.Duration) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, tokenSize), uint64(t.now().Add(life).Unix()))
	return base64.URLEncoding.EncodeToString(t.seal(b))
}

func (t *tokens) seal(end []byte) []byte {
	m := hmac.New(sha256.New, t.key[:])
	m.Write(end)
	return m.Sum(end)
}

// valid reports whether a request carries one token, of ours and not over.
func (t *tokens) valid(values []string) bool {
	if len(values) != 1 || len(values[0]) != base64.URLEncoding.EncodedLen(tokenSize) {
		return false
	}
	b, err := base64.URLEncoding.DecodeString(values[0])
	if err != nil || len(b) != tokenSize {
		return false
	}
	end := b[:8:8]
	return hmac.Equal(t.seal(end), b) && t.now().Unix() < int64(binary.BigEndian.Uint64(end))
}
