package sigv4

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	maxLine     = 4 << 10 // bytes of a chunk header or a trailing header
	maxTrailers = 16
	minChunk    = 8 << 10 // bytes of every signed chunk but the last

	chunkSignature   = "chunk-signature="
	trailerSignature = "x-amz-trailer-signature"
)

// chunkSigner computes the chain of chunk signatures: each covers the one
// before, beginning with the signature of the request, so that chunks can be
// neither changed nor left out nor put in another order.
type chunkSigner struct {
	key         [32]byte
	previous    [32]byte
	scope, time string
}

// chunk checks the signature of the next chunk by the hash of its data.
func (c *chunkSigner) chunk(sum [32]byte, signature []byte) bool {
	return c.next("-PAYLOAD\n", emptyHash+"\n"+hex.EncodeToString(sum[:]), signature)
}

// trailer checks the signature of the trailing headers in canonical form.
func (c *chunkSigner) trailer(canonical []byte, signature []byte) bool {
	sum := sha256.Sum256(canonical)
	return c.next("-TRAILER\n", hex.EncodeToString(sum[:]), signature)
}

func (c *chunkSigner) next(kind, hashes string, signature []byte) bool {
	b := make([]byte, 0, 384)
	b = append(b, algorithm...)
	b = append(b, kind...)
	b = append(b, c.time...)
	b = append(b, '\n')
	b = append(b, c.scope...)
	b = append(b, '\n')
	b = hex.AppendEncode(b, c.previous[:])
	b = append(b, '\n')
	b = append(b, hashes...)
	c.previous = mac(c.key[:], b)
	return hmac.Equal(c.previous[:], signature)
}

// chunkReader decodes an aws-chunked body:
//
//	HEXSIZE[;chunk-signature=HEX]\r\n data \r\n ... 0[;chunk-signature=HEX]\r\n
//	[name:value\r\n ...] [x-amz-trailer-signature:HEX\r\n] \r\n
//
// The data of a signed chunk is released when its signature has been checked,
// that of an unsigned one as it comes. io.EOF is returned only when the last
// chunk and every announced trailer were there and nothing came after.
type chunkReader struct {
	src       *bufio.Reader
	form      form
	signer    chunkSigner
	spool     *spool // the checked chunk; nil for the unsigned form
	length    int64  // x-amz-decoded-content-length
	left      int64  // of length, not yet announced by a chunk header
	chunk     int64  // of the current unsigned chunk, not yet read
	inside    bool   // in an unsigned chunk whose closing CRLF is to come
	small     bool   // the last signed chunk was under minChunk
	announced []string
	trailer   http.Header
	done      bool
	err       error
}

// Read implements io.Reader.
func (c *chunkReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for c.err == nil {
		n, err := c.take(p)
		if err == nil && n == 0 {
			err = c.advance()
		}
		c.err = err
		if n > 0 {
			return n, nil
		}
	}
	return 0, c.err
}

// take returns data of the current chunk, or 0 when there is none left.
func (c *chunkReader) take(p []byte) (int, error) {
	if c.spool != nil {
		n, err := c.spool.Read(p)
		if err == io.EOF {
			err = nil
		}
		return n, err
	}
	if c.chunk == 0 {
		return 0, nil
	}
	n, err := io.ReadAtLeast(c.src, p[:min(int64(len(p)), c.chunk)], 1)
	c.chunk -= int64(n)
	if err != nil {
		return n, cutShort(err)
	}
	return n, nil
}

// advance goes to the next chunk, or to the end: io.EOF.
func (c *chunkReader) advance() error {
	if c.inside {
		if err := c.crlf(); err != nil {
			return err
		}
		c.inside = false
	}
	size, signature, err := c.header()
	switch {
	case err != nil:
		return err
	case size > c.left:
		return refuse(MalformedChunk, "its chunks hold more than x-amz-decoded-content-length says")
	case size == 0:
		return c.finish(signature)
	}
	c.left -= size
	if c.spool == nil {
		c.chunk, c.inside = size, true
		return nil
	}
	if c.small {
		return refuse(SmallChunk)
	}
	c.small = size < minChunk
	return c.load(size, signature)
}

// header reads a chunk's first line.
func (c *chunkReader) header() (size int64, signature []byte, err error) {
	line, err := c.line()
	if err != nil {
		return 0, nil, err
	}
	digits, extension, _ := bytes.Cut(line, []byte{';'})
	// Fifteen digits cannot overflow; a sign or an underscore is not a digit.
	if len(digits) == 0 || len(digits) > 15 || !isHex(digits) {
		return 0, nil, refuse(MalformedChunk, "a chunk size is not a hexadecimal number")
	}
	if size, err = strconv.ParseInt(string(digits), 16, 64); err != nil {
		return 0, nil, refuse(MalformedChunk, "a chunk size is not a hexadecimal number")
	}
	if c.spool == nil {
		return size, nil, nil
	}
	text, ok := bytes.CutPrefix(extension, []byte(chunkSignature))
	if !ok {
		return 0, nil, refuse(MalformedChunk, "a chunk has no signature")
	}
	signature, err = parseSignature(text)
	return size, signature, err
}

// load reads a signed chunk whole and checks it.
func (c *chunkReader) load(size int64, signature []byte) error {
	if err := c.spool.reset(); err != nil {
		return err
	}
	var sum [32]byte
	if size <= memoryLimit {
		mem := slices.Grow(c.spool.mem, int(size))[:size]
		if _, err := io.ReadFull(c.src, mem); err != nil {
			return cutShort(err)
		}
		sum = sha256.Sum256(mem)
		c.spool.mem, c.spool.size = mem, size
	} else {
		hash := sha256.New()
		if _, err := io.CopyN(io.MultiWriter(hash, c.spool), refusing{c.src}, size); err == io.EOF {
			return cutShort(err)
		} else if err != nil {
			return err
		}
		if err := c.spool.seal(); err != nil {
			return err
		}
		hash.Sum(sum[:0])
	}
	if err := c.crlf(); err != nil {
		return err
	}
	if !c.signer.chunk(sum, signature) {
		return refuse(Mismatch)
	}
	return nil
}

// finish checks the last chunk, the trailers and that the length was kept.
func (c *chunkReader) finish(signature []byte) error {
	if c.spool != nil {
		if err := c.spool.reset(); err != nil {
			return err
		}
		if !c.signer.chunk(sha256.Sum256(nil), signature) {
			return refuse(Mismatch)
		}
	}
	if c.left != 0 {
		return refuse(IncompleteBody)
	}
	trailer, signature, err := c.trailers()
	if err != nil {
		return err
	}
	for _, name := range c.announced {
		if name != trailerSignature && trailer[http.CanonicalHeaderKey(name)] == nil {
			return refuse(MalformedTrailer, "an announced one is missing")
		}
	}
	if c.form == formSignedTrailer {
		if signature == nil {
			return refuse(MalformedTrailer, "their signature is missing")
		}
		if !c.signer.trailer(canonicalTrailer(trailer), signature) {
			return refuse(Mismatch)
		}
	}
	c.trailer, c.done = trailer, true
	return io.EOF
}

// trailers reads up to the end of the body. The blank line at the end may be
// missing, and one may stand before the signature: clients differ there.
func (c *chunkReader) trailers() (trailer http.Header, signature []byte, err error) {
	trailer = http.Header{}
	for blank := 0; ; {
		if _, err := c.src.Peek(1); err == io.EOF {
			return trailer, signature, nil
		}
		line, err := c.line()
		if err != nil {
			return nil, nil, err
		}
		switch {
		case len(line) == 0:
			if blank++; blank > 2 {
				return nil, nil, refuse(MalformedChunk, "something follows its end")
			}
			continue
		case c.form == formSigned || signature != nil || blank > 0 && c.form == formUnsignedTrailer:
			return nil, nil, refuse(MalformedChunk, "something follows its end")
		}
		name, value, ok := strings.Cut(string(line), ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		key := http.CanonicalHeaderKey(name)
		switch {
		case !ok || !lowerToken(name) || len(trailer) == maxTrailers || trailer[key] != nil:
			return nil, nil, refuse(MalformedTrailer, "a line is not a header, repeats one, or is one too many")
		case name == trailerSignature && c.form == formSignedTrailer:
			if signature, err = parseSignature([]byte(value)); err != nil {
				return nil, nil, err
			}
		case !slices.Contains(c.announced, name):
			return nil, nil, refuse(MalformedTrailer, "x-amz-trailer did not announce one")
		default:
			trailer[key] = []string{value}
		}
	}
}

// canonicalTrailer is name:value lines, sorted.
func canonicalTrailer(trailer http.Header) []byte {
	lines := make([]string, 0, len(trailer))
	for name, values := range trailer {
		lines = append(lines, strings.ToLower(name)+":"+values[0]+"\n")
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, ""))
}

// line reads a line without its end, which is LF with or without CR. The bytes
// are valid until the next read.
func (c *chunkReader) line() ([]byte, error) {
	line, err := c.src.ReadSlice('\n')
	switch {
	case len(line) > maxLine || err == bufio.ErrBufferFull:
		return nil, refuse(MalformedChunk, "a line is too long")
	case err != nil:
		return nil, cutShort(err)
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

func (c *chunkReader) crlf() error {
	line, err := c.line()
	if err == nil && len(line) > 0 {
		return refuse(MalformedChunk, "a chunk is longer than its size says")
	}
	return err
}

// cutShort turns the end of the stream inside the framing into a refusal.
func cutShort(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return sourceError(err)
}

// refusing turns errors of the source into refusals, so that those of the spool
// beside it stay internal.
type refusing struct{ r io.Reader }

func (f refusing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		err = sourceError(err)
	}
	return n, err
}

func parseSignature(text []byte) ([]byte, error) {
	raw := make([]byte, hex.DecodedLen(len(text)))
	if _, err := hex.Decode(raw, text); err != nil || len(raw) != sha256.Size {
		return nil, refuse(MalformedChunk, "a signature is not 64 hexadecimal digits")
	}
	return raw, nil
}

func isHex(s []byte) bool {
	return !slices.ContainsFunc(s, func(c byte) bool { _, ok := nibble(c); return !ok })
}
