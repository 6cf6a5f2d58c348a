package sigv4

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// The values of x-amz-content-sha256 that are not a hash.
const (
	unsignedPayload       = "UNSIGNED-PAYLOAD"
	streamSigned          = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	streamSignedTrailer   = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	streamUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	emptyHash             = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	memoryLimit           = 1 << 20 // a body up to this is checked in memory
	copyBuffer            = 64 << 10
)

// form is how the body is covered by the signature.
type form uint8

const (
	formAbsent          form = iota // nothing declared: the hash of the body
	formHash                        // the declared hash of the body
	formUnsigned                    // not covered
	formSigned                      // chunks, each signed
	formSignedTrailer               // chunks and trailing headers, each signed
	formUnsignedTrailer             // chunks, not signed, and trailing headers
)

// contentForm reads the declared hash.
func (c *Claim) contentForm(rules rules) (form, error) {
	streaming := formAbsent
	switch c.ContentHash {
	case "":
		switch {
		case !rules.needsHash:
			return formAbsent, nil
		case c.Presigned:
			return formUnsigned, nil
		}
		return 0, refuse(MissingContentHash)
	case unsignedPayload:
		return formUnsigned, nil
	case streamSigned:
		streaming = formSigned
	case streamSignedTrailer:
		streaming = formSignedTrailer
	case streamUnsignedTrailer:
		streaming = formUnsignedTrailer
	}
	if streaming != formAbsent && rules.chunked {
		return streaming, nil
	}
	if raw, err := hex.DecodeString(c.ContentHash); err != nil || len(raw) != sha256.Size {
		return 0, refuse(BadContentHash)
	}
	return formHash, nil
}

// pending is the body of a verified request before and while it is read.
type pending struct {
	r      *http.Request
	form   form
	hash   string // as declared
	family Family
	max    int64
	dir    string
	chunks chunkSigner

	spool *spool
	taken bool
}

// Body is the body as the client meant it: decoded from aws-chunked where that
// was used, and authentic as far as the client signed it. Errors of Read are
// fault.Errors in the family's words.
type Body struct {
	// Length is the number of bytes, or -1 when only the end will tell.
	Length int64
	// Signed reports whether the signature covers the bytes.
	Signed bool

	reader  io.Reader
	family  Family
	chunks  *chunkReader
	pending *pending
}

// Body gives the body, once. A body whose hash is signed has been read and
// checked whole when it returns; of the others only an over-long announced
// length is refused here and the rest by Read. The Body is valid until it or the
// Identity is closed.
func (id *Identity) Body() (*Body, error) {
	b, err := id.body.open()
	if err != nil {
		return nil, id.body.family.Fault(err)
	}
	return b, nil
}

// Close frees what holds the body. It may be called twice.
func (id *Identity) Close() error { return id.body.close() }

func (p *pending) close() error {
	if p.spool == nil {
		return nil
	}
	return p.spool.Close()
}

var errTaken = errors.New("open body: it was taken before")

func (p *pending) open() (*Body, error) {
	if p.taken {
		return nil, errTaken
	}
	p.taken = true
	b := &Body{family: p.family, Length: p.r.ContentLength, pending: p}
	switch p.form {
	case formUnsigned:
		if p.r.ContentLength > p.max {
			return nil, tooLarge(p.max)
		}
		b.reader = &limitReader{r: source(p.r), left: p.max, max: p.max}
		return b, nil
	case formSigned, formSignedTrailer, formUnsignedTrailer:
		chunks, err := p.openChunks()
		if err != nil {
			return nil, err
		}
		b.chunks, b.reader, b.Length, b.Signed = chunks, chunks, chunks.length, p.form != formUnsignedTrailer
		return b, nil
	case formHash:
		sum, err := p.readWhole(nil)
		if err != nil {
			return nil, err
		}
		if !strings.EqualFold(sum, p.hash) {
			return nil, refuse(ContentMismatch).with("ClientComputedContentSHA256", p.hash).
				with("S3ComputedContentSHA256", sum)
		}
	}
	b.reader, b.Length, b.Signed = p.spool, p.spool.size, true
	return b, nil
}

// readWhole reads the body into the spool and returns its hash in hex. What it
// keeps is held; held is nil for a caller who is proven.
func (p *pending) readWhole(held *hold) (string, error) {
	p.spool = &spool{dir: p.dir}
	length := p.r.ContentLength
	switch {
	case p.r.Body == nil || p.r.Body == http.NoBody || length == 0:
		return emptyHash, nil
	case length > p.max:
		return "", tooLarge(p.max)
	case 0 < length && length <= copyBuffer:
		// The common case: one allocation, one read, one hash.
		if err := held.set(kept{memory: length}); err != nil {
			return "", err
		}
		buf := make([]byte, length)
		if _, err := io.ReadFull(p.r.Body, buf); err != nil {
			return "", sourceError(err)
		}
		p.spool.mem, p.spool.size = buf, length
		sum := sha256.Sum256(buf)
		return hex.EncodeToString(sum[:]), nil
	}
	if err := held.set(p.spool.keeps(length, 0)); err != nil {
		return "", err
	}
	if length > memoryLimit {
		if err := p.spool.openFile(); err != nil {
			return "", err
		}
	}
	hash := sha256.New()
	buf := make([]byte, copyBuffer)
	from := limitReader{r: source(p.r), left: p.max, max: p.max}
	for {
		n, err := from.Read(buf)
		hash.Write(buf[:n])
		if herr := held.set(p.spool.keeps(length, n)); herr != nil {
			return "", herr
		}
		if _, werr := p.spool.Write(buf[:n]); werr != nil {
			return "", werr
		}
		if err == io.EOF {
			return hex.EncodeToString(hash.Sum(nil)), p.spool.seal()
		}
		if err != nil {
			return "", err
		}
	}
}

// openChunks starts the decoding of an aws-chunked body.
func (p *pending) openChunks() (*chunkReader, error) {
	declared, err := single(p.r.Header, headerDecoded)
	if err != nil {
		return nil, err
	}
	length, err := strconv.ParseInt(declared, 10, 64)
	switch {
	case err != nil || length < 0:
		return nil, refuse(MissingLength)
	case length > p.max:
		return nil, tooLarge(p.max)
	}
	c := &chunkReader{form: p.form, signer: p.chunks, length: length, left: length}
	c.src = bufio.NewReaderSize(source(p.r), copyBuffer)
	if p.form != formUnsignedTrailer {
		p.spool = &spool{dir: p.dir}
		c.spool = p.spool
	}
	if p.form != formSigned {
		for _, v := range p.r.Header[headerTrailer] {
			for name := range strings.SplitSeq(v, ",") {
				if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
					c.announced = append(c.announced, name)
				}
			}
		}
	}
	return c, nil
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	n, err := b.reader.Read(p)
	if err != nil && err != io.EOF {
		return n, b.family.Fault(err)
	}
	return n, err
}

// Close frees what holds the body.
func (b *Body) Close() error { return b.pending.close() }

// Trailer returns the trailing headers, such as X-Amz-Checksum-Crc32, once Read
// has returned io.EOF, and nil before. Their values are signed if the body is;
// whether a checksum is right is for the caller to compute.
func (b *Body) Trailer() http.Header {
	if b.chunks == nil || !b.chunks.done {
		return nil
	}
	return b.chunks.trailer
}

func tooLarge(limit int64) *Error {
	return refuse(TooLarge, strconv.FormatInt(limit, 10)).with("MaxSizeAllowed", strconv.FormatInt(limit, 10))
}

// sourceError is the refusal for a body that stopped arriving. That the client
// has gone away looks the same and is answered to nobody.
func sourceError(err error) error {
	if m, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(m.Limit)
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	return refuse(IncompleteBody).because(err)
}

func source(r *http.Request) io.Reader {
	if r.Body == nil {
		return http.NoBody
	}
	return r.Body
}

// limitReader is an io.LimitedReader that refuses what is beyond the limit
// instead of hiding it.
type limitReader struct {
	r         io.Reader
	left, max int64
}

func (l *limitReader) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	if int64(n) > l.left {
		n = int(l.left)
		l.left = 0
		return n, tooLarge(l.max)
	}
	l.left -= int64(n)
	if err != nil && err != io.EOF {
		err = sourceError(err)
	}
	return n, err
}
