package registry_test

import (
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/image/registry"
)

func TestUploadInParts(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	whole := strings.Repeat("one two three ", 100_000)
	id := f.begin(repo())
	for at := 0; at < len(whole)-1; {
		end := min(at+500_001, len(whole)-1)
		p := part(whole[at:end])
		p.At = int64(at)
		u, err := f.Append(ctx, repo(), id, p)
		if err != nil || u.Offset != int64(end) {
			t.Fatalf("%+v, %v", u, err)
		}
		at = end
		f = openFixtureAgain(t, f) // it goes on in another process
	}
	late := part("x")
	late.At = 3
	_, err := f.Append(ctx, repo(), id, late)
	refused(t, err, registry.CodeInvalidPart)
	if u, err := f.Upload(ctx, repo(), id); err != nil || u.Offset != int64(len(whole)-1) {
		t.Errorf("%+v, %v", u, err)
	}
	b, err := f.Finish(ctx, repo(), id, digest(whole), part(whole[len(whole)-1:]))
	if err != nil || b.Size != int64(len(whole)) {
		t.Fatalf("%+v, %v", b, err)
	}
	if got, err := f.read(repo(), digest(whole)); err != nil || got != whole {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	_, err = f.Upload(ctx, repo(), id)
	refused(t, err, registry.CodeUploadNotFound)
	f.audit()
}

// openFixtureAgain opens what another fixture has, as the next process would.
func openFixtureAgain(t *testing.T, f *fixture) *fixture {
	t.Helper()
	if err := f.db.Close(); err != nil {
		t.Fatal(err)
	}
	return openFixture(t, f.dir)
}

// broken is a body that ends with an error.
type broken struct {
	io.Reader
	err error
}

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = b.err
	}
	return n, err
}

// TestBrokenPartLeavesNothing: after a part that broke off the upload goes on where
// it was, or ends, without a byte of that part.
func TestBrokenPartLeavesNothing(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	cut := func() registry.Part {
		return registry.Part{Reader: broken{strings.NewReader("garbage"), io.ErrUnexpectedEOF}, At: -1, Size: -1}
	}
	id := f.begin(repo())
	for _, text := range []string{"", "one ", "two "} {
		if _, err := f.Append(ctx, repo(), id, part(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Append(ctx, repo(), id, cut()); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("error %v", err)
		}
		f.audit()
	}
	short := part("abc")
	short.Size = 5
	_, err := f.Append(ctx, repo(), id, short)
	refused(t, err, registry.CodeInvalidPart)
	if _, err := f.Finish(ctx, repo(), id, digest("one two "), part("")); err != nil {
		t.Fatal(err)
	}
	if got, err := f.read(repo(), digest("one two ")); err != nil || got != "one two " {
		t.Errorf("%q, %v", got, err)
	}
	f.audit()
}

func TestWrongDigestEndsTheUpload(t *testing.T) {
	f := newFixture(t)
	for _, first := range []string{"", "some "} {
		id := f.begin(repo())
		if _, err := f.Append(t.Context(), repo(), id, part(first)); err != nil {
			t.Fatal(err)
		}
		_, err := f.Finish(t.Context(), repo(), id, digest("other"), part("thing"))
		refused(t, err, registry.CodeInvalidLayer)
		_, err = f.Upload(t.Context(), repo(), id)
		refused(t, err, registry.CodeUploadNotFound)
		_, err = f.read(repo(), digest("other"))
		refused(t, err, registry.CodeLayerMissing)
		f.audit()
	}
}

func TestDigestsOfTheOtherKind(t *testing.T) {
	f := newFixture(t)
	d := registry.Digest(fmt.Sprintf("sha512:%x", sha512.Sum512([]byte("layer"))))
	id := f.begin(repo())
	if _, err := f.Append(t.Context(), repo(), id, part("lay")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Finish(t.Context(), repo(), id, d, part("er")); err != nil {
		t.Fatal(err)
	}
	if got, err := f.read(repo(), d); err != nil || got != "layer" {
		t.Errorf("%q, %v", got, err)
	}
	_, err := f.Finish(t.Context(), repo(), f.begin(repo()), d, part("liar"))
	refused(t, err, registry.CodeInvalidLayer)
	f.audit()
}

// TestSameBlobTwice keeps the bytes once, whoever comes first, in one repository
// or two.
func TestSameBlobTwice(t *testing.T) {
	f := newFixture(t)
	other := named("other")
	f.create(other)
	content := strings.Repeat("same", 200_000)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			n := []registry.Name{repo(), other}[i%2]
			u, err := f.StartUpload(t.Context(), n)
			if err == nil && i > 3 {
				if _, err = f.Append(t.Context(), n, u.ID, part(content)); err == nil {
					_, err = f.Finish(t.Context(), n, u.ID, digest(content), part(""))
				}
			} else if err == nil {
				_, err = f.Finish(t.Context(), n, u.ID, digest(content), part(content))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	f.audit()
	if p, err := f.Prune(t.Context(), registry.PruneOptions{Unused: 1, DryRun: true}); err != nil || p.Left != 1 || p.LeftBytes != int64(len(content)) {
		t.Errorf("%+v, %v", p, err)
	}
	if err := f.DeleteBlob(t.Context(), repo(), digest(content)); err != nil {
		t.Fatal(err)
	}
	if got, err := f.read(other, digest(content)); err != nil || got != content {
		t.Errorf("%d bytes are left, %v", len(got), err)
	}
	f.audit()
}

func TestOneWriterAtATime(t *testing.T) {
	f := newFixture(t)
	id := f.begin(repo())
	r, w := io.Pipe()
	done := make(chan error)
	go func() {
		_, err := f.Append(t.Context(), repo(), id, registry.Part{Reader: r, At: -1, Size: -1})
		done <- err
	}()
	if _, err := io.WriteString(w, "first "); err != nil {
		t.Fatal(err)
	}
	_, err := f.Append(t.Context(), repo(), id, part("second"))
	refused(t, err, registry.CodeUploadBusy)
	refused(t, f.Cancel(t.Context(), repo(), id), registry.CodeUploadBusy)
	w.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if u, err := f.Upload(t.Context(), repo(), id); err != nil || u.Offset != 6 {
		t.Errorf("%+v, %v", u, err)
	}
	if err := f.Cancel(t.Context(), repo(), id); err != nil {
		t.Error(err)
	}
	f.audit()
}

func TestUploadIsOfItsRepository(t *testing.T) {
	f := newFixture(t)
	f.create(named("other"))
	id := f.begin(repo())
	for _, bad := range []string{"", "x", strings.ToUpper(id), strings.ReplaceAll(id, "-", ""), id + "0"} {
		_, err := f.Upload(t.Context(), repo(), bad)
		refused(t, err, registry.CodeUploadNotFound)
	}
	_, err := f.Append(t.Context(), named("other"), id, part("x"))
	refused(t, err, registry.CodeUploadNotFound)
	_, err = f.StartUpload(t.Context(), named("none"))
	refused(t, err, registry.CodeRepositoryNotFound)
}

func TestMount(t *testing.T) {
	f := newFixture(t)
	other := named("other")
	f.create(other)
	d := f.push(repo(), "layer")
	if _, ok, err := f.Mount(t.Context(), other, "team/agent", d); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if got, err := f.read(other, d); err != nil || got != "layer" {
		t.Errorf("%q, %v", got, err)
	}
	for _, from := range []string{"none", "other"} {
		if _, ok, err := f.Mount(t.Context(), other, from, digest("nothing")); err != nil || ok {
			t.Errorf("from %s: %t, %v", from, ok, err)
		}
	}
	_, _, err := f.Mount(t.Context(), named("none"), "other", d)
	refused(t, err, registry.CodeRepositoryNotFound)
	f.audit()
}

// zeros is a body that takes no memory.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), z.left))
	clear(p[:n])
	z.left -= int64(n)
	return n, nil
}

// BenchmarkPush uploads layers of 64 MiB and lets them go again.
func BenchmarkPush(b *testing.B) {
	const size = 64 << 20
	f := newFixture(b)
	id := f.begin(repo())
	_, err := f.Finish(b.Context(), repo(), id, digest("unknown"), registry.Part{Reader: &zeros{size}, At: -1, Size: size})
	_, text, _ := strings.Cut(fmt.Sprint(err), "has the digest '")
	d := registry.Digest(text[:71])
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Finish(b.Context(), repo(), f.begin(repo()), d, registry.Part{Reader: &zeros{size}, At: -1, Size: size}); err != nil {
			b.Fatal(err)
		}
		if err := f.DeleteBlob(b.Context(), repo(), d); err != nil {
			b.Fatal(err)
		}
		if err := f.Collect(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPull reads one.
func BenchmarkPull(b *testing.B) {
	const size = 64 << 20
	f := newFixture(b)
	content := strings.Repeat("0123456789abcdef", size/16)
	d := f.push(repo(), content)
	b.SetBytes(size)
	for b.Loop() {
		r, err := f.Open(b.Context(), repo(), d)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, r); n != size || err != nil {
			b.Fatal(n, err)
		}
		r.Close()
	}
}
