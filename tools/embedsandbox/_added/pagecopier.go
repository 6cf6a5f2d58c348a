package stateio

// Outcrop adds this file to gVisor; see tools/embedsandbox there.

import (
	"io"
	"sync"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/hostarch"
	"gvisor.dev/gvisor/pkg/sentry/memmap"
)

// pageCopier implements AsyncReader. It writes to the destination's file, by way of
// a buffer, in place of reading into its mapping: the kernel neither clears the new
// pages then, nor takes a fault for each.
type pageCopier struct {
	fd      int
	pending []pageCopy
	buffers [][]byte // by id
}

type pageCopy struct {
	id    int
	off   int64
	total uint64
	to    int
	frs   []memmap.FileRange
	err   error
}

// Close implements AsyncReader.Close.
func (c *pageCopier) Close() error { return unix.Close(c.fd) }

// MaxReadBytes implements AsyncReader.MaxReadBytes.
func (c *pageCopier) MaxReadBytes() uint64 { return pagesFileFDDefaultMaxIOBytes }

// MaxRanges implements AsyncReader.MaxRanges.
func (c *pageCopier) MaxRanges() int { return pagesFileFDDefaultMaxIOBytes / hostarch.PageSize }

// MaxParallel implements AsyncReader.MaxParallel.
func (c *pageCopier) MaxParallel() int { return len(c.buffers) }

// NeedRegisterDestinationFD implements AsyncReader.NeedRegisterDestinationFD.
func (c *pageCopier) NeedRegisterDestinationFD() bool { return true }

// RegisterDestinationFD implements AsyncReader.RegisterDestinationFD. The file is a
// MemoryFile's, which outlives its being loaded.
func (c *pageCopier) RegisterDestinationFD(fd int32, size uint64, settings []ClientFileRangeSetting) (DestinationFile, error) {
	return int(fd), nil
}

// AddRead implements AsyncReader.AddRead.
func (c *pageCopier) AddRead(id int, off int64, to DestinationFile, fr memmap.FileRange, dstMap []byte) {
	c.AddReadv(id, off, fr.Length(), to, []memmap.FileRange{fr}, nil)
}

// AddReadv implements AsyncReader.AddReadv.
func (c *pageCopier) AddReadv(id int, off int64, total uint64, to DestinationFile, frs []memmap.FileRange, dstMaps []unix.Iovec) {
	c.pending = append(c.pending, pageCopy{id: id, off: off, total: total, to: to.(int), frs: frs})
}

// Wait implements AsyncReader.Wait.
func (c *pageCopier) Wait(cs []Completion, minCompletions int) ([]Completion, error) {
	var wg sync.WaitGroup
	for i := range c.pending {
		p := &c.pending[i]
		if c.buffers[p.id] == nil {
			c.buffers[p.id] = make([]byte, pagesFileFDDefaultMaxIOBytes)
		}
		wg.Go(func() { p.err = p.copy(c.fd, c.buffers[p.id][:p.total]) })
	}
	wg.Wait()
	for _, p := range c.pending {
		done := Completion{ID: p.id, N: p.total, Err: p.err}
		if p.err != nil {
			done.N = 0
		}
		cs = append(cs, done)
	}
	c.pending = c.pending[:0]
	return cs, nil
}

func (p *pageCopy) copy(from int, buf []byte) error {
	if err := whole(buf, p.off, func(b []byte, off int64) (int, error) { return unix.Pread(from, b, off) }); err != nil {
		return err
	}
	for _, fr := range p.frs {
		n := fr.Length()
		if err := whole(buf[:n], int64(fr.Start), func(b []byte, off int64) (int, error) { return unix.Pwrite(p.to, b, off) }); err != nil {
			return err
		}
		buf = buf[n:]
	}
	return nil
}

// whole has all of buf read or written.
func whole(buf []byte, off int64, do func([]byte, int64) (int, error)) error {
	for len(buf) > 0 {
		n, err := do(buf, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		buf, off = buf[n:], off+int64(n)
	}
	return nil
}
