package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/outcrop/outcrop/conformance/bench/figures"
	"github.com/outcrop/outcrop/internal/api/model/outcrop"
)

// The bars of a machine with this much memory.
const (
	roomBytes     = 24 << 30
	liveBar       = 60
	hibernatedBar = 1000
	// resolution is what a growth of the server is taken for at least: smaller ones
	// drown in what its heap does by itself.
	resolution = 100 << 10
)

// roomRow measures what live and hibernating sessions of the SDK agent take, and
// how long one takes to wake.
func roomRow(ctx context.Context, o options, report *figures.Report) error {
	data := filepath.Join(o.dir, "room")
	p, err := serve(ctx, o, data)
	if err != nil {
		return err
	}
	defer func() { _ = p.end() }() // the figures are had by then
	b, err := p.pack(ctx, o)
	if err != nil {
		return err
	}
	defer b.Close()
	arn, err := p.deployRestored(ctx, b)
	if err != nil {
		return err
	}
	room := &figures.Room{Live: o.sessions, Hibernated: o.sessions}
	if err := p.live(ctx, arn, room); err != nil {
		return err
	}
	if err := p.end(); err != nil {
		return err
	}
	next, err := serve(ctx, o, data, "--hibernate-after", "2s")
	if err != nil {
		return err
	}
	p = next
	woken, err := p.hibernated(ctx, arn, room)
	if err != nil {
		return err
	}
	report.Room = room
	report.Starts = append(report.Starts, woken)
	printRoom(room, woken)
	return nil
}

func printRoom(room *figures.Room, woken figures.Start) {
	each := max(room.Share, room.Available)
	fmt.Printf("\n%-52s %12s\n", fmt.Sprintf("room, %d SDK agents", room.Live), "one session")
	fmt.Printf("%-52s %9.1f MB\n", "live, its processes' share of memory (PSS)", mb(room.Share))
	fmt.Printf("%-52s %9.1f MB\n", "live, by which the host's MemAvailable shrank", mb(room.Available))
	fmt.Printf("%-52s %12d  %s\n", fmt.Sprintf("live in 24 GiB, by the larger; bar %d", liveBar), roomBytes/max(each, 1), verdict(roomBytes/max(each, 1) >= liveBar))
	fmt.Printf("%-52s %9.2f MB\n", "hibernated, by which server and supervisor grew", mb(room.Server))
	fmt.Printf("%-52s %9.1f MB\n", "hibernated, on the disk", mb(room.Disk))
	fmt.Printf("%-52s %12d  %s\n", fmt.Sprintf("hibernated in 24 GiB of memory, at least; bar %d", hibernatedBar),
		roomBytes/max(room.Server, resolution), verdict(roomBytes/max(room.Server, resolution) >= hibernatedBar))
	fmt.Printf("%-52s %12d\n", "hibernated in the default --snapshot-disk of 16 GiB", (16<<30)/max(room.Disk, 1))
	fmt.Printf("%-30s %12s %12s %12s  P50, P75, longest\n", "woken, first byte", ms(woken.At(.5)), ms(woken.At(.75)), ms(woken.At(1)))
}

func mb(n int64) float64 { return float64(n) / 1e6 }

// live starts sessions, asks each once and looks at what they take.
func (p *program) live(ctx context.Context, arn string, room *figures.Room) error {
	if _, _, err := p.ask(ctx, arn, sessionName(1<<20)); err != nil { // what all share is loaded by it
		return err
	}
	p.settle()
	share, available, err := p.memory()
	if err != nil {
		return err
	}
	for i := range room.Live {
		if _, _, err := p.ask(ctx, arn, sessionName(i)); err != nil {
			return err
		}
	}
	p.settle()
	moreShare, lessAvailable, err := p.memory()
	n := int64(room.Live)
	room.Share, room.Available = (moreShare-share)/n, (available-lessAvailable)/n
	return err
}

// settle lets what was just started come to rest.
func (*program) settle() { time.Sleep(3 * time.Second) }

// memory is what all processes below the server take, and what the host has left.
func (p *program) memory() (share, available int64, err error) {
	if available, err = procField("/proc/meminfo", "MemAvailable"); err != nil {
		return 0, 0, err
	}
	all, err := family(p.cmd.Process.Pid)
	if err != nil {
		return 0, 0, err
	}
	share, err = shareBytes(all)
	return share, available, err
}

// hibernated has sessions hibernate and looks at what is left of them, then wakes
// each.
func (p *program) hibernated(ctx context.Context, arn string, room *figures.Room) (woken figures.Start, err error) {
	woken.Way = "woken"
	// As many before, so that all that grows once has grown.
	if err := p.putToSleep(ctx, arn, 0, room.Hibernated); err != nil {
		return woken, err
	}
	before, err := p.resident()
	if err != nil {
		return woken, err
	}
	_, disk, err := p.sealed("sessions")
	if err != nil {
		return woken, err
	}
	if err := p.putToSleep(ctx, arn, room.Hibernated, 2*room.Hibernated); err != nil {
		return woken, err
	}
	after, err := p.resident()
	if err != nil {
		return woken, err
	}
	_, more, err := p.sealed("sessions")
	if err != nil {
		return woken, err
	}
	n := int64(room.Hibernated)
	room.Server, room.Disk = (after-before)/n, (more-disk)/n
	for i := range room.Hibernated {
		took, text, err := p.ask(ctx, arn, sleeperName(i))
		if err != nil {
			return woken, err
		}
		if text != `data: "turn 2"` {
			return woken, fmt.Errorf("a session that was woken answers %q", text)
		}
		woken.Times = append(woken.Times, int64(took))
	}
	return woken, nil
}

// putToSleep starts sessions and waits until all hibernate.
func (p *program) putToSleep(ctx context.Context, arn string, from, to int) error {
	asked := map[string]bool{}
	for i := range to {
		asked[sleeperName(i)] = true
	}
	for i := from; i < to; i++ {
		if _, _, err := p.ask(ctx, arn, sleeperName(i)); err != nil {
			return err
		}
	}
	if err := until(ctx, "all hibernate", func() (bool, error) {
		all, err := p.sessions(ctx)
		n := 0
		for _, s := range all {
			if asked[aws.ToString(s.SessionId)] && aws.ToString(s.Status) == "HIBERNATED" {
				n++
			}
		}
		return n == to, err
	}); err != nil {
		return err
	}
	p.settle()
	return nil
}

// sleeperName names a session that hibernates. The live ones are others: they sleep
// since their server ended.
func sleeperName(i int) string { return sessionName(1<<10 + i) }

// resident is what server and supervisor have in memory; nothing else is left.
func (p *program) resident() (int64, error) {
	all, err := family(p.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, pid := range append(all, p.cmd.Process.Pid) {
		n, err := residentBytes(pid)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// sessions lists all.
func (p *program) sessions(ctx context.Context) (all []outcrop.Session, err error) {
	for token := (*string)(nil); ; {
		page, err := p.client.Sessions(ctx, outcrop.ListSessionsRequest{NextToken: token})
		if err != nil {
			return nil, err
		}
		all = append(all, page.Sessions...)
		if token = page.NextToken; token == nil {
			return all, nil
		}
	}
}

// origin is how a live session began, and why.
func (p *program) origin(ctx context.Context, id string) (origin, why string, err error) {
	all, err := p.sessions(ctx)
	for _, s := range all {
		if aws.ToString(s.SessionId) == id {
			return aws.ToString(s.Origin), aws.ToString(s.OriginReason), err
		}
	}
	return "", "it is not there", err
}
