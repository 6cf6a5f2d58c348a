package outbound

import (
	"fmt"
	"io"
)

// TooLarge says that a body has more than Limit bytes.
type TooLarge struct{ Limit int64 }

func (e *TooLarge) Error() string {
	return fmt.Sprintf("the answer is larger than %d bytes", e.Limit)
}

// bounded fails, rather than ends, where its limit is passed: what was cut off must
// not be taken for the whole.
type bounded struct {
	io.Closer
	r     io.Reader
	left  int64
	limit int64
}

func bound(body io.ReadCloser, limit int64) io.ReadCloser {
	return &bounded{Closer: body, r: body, left: limit, limit: limit}
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		n += int(b.left)
		b.left = 0
		return n, &TooLarge{b.limit}
	}
	return n, err
}
