package cli

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/client"
)

// What the model takes for the two ends of a session, and what they are of which
// nobody says anything (spec/runtime.md 2.8).
const (
	shortestLife, longestLife = time.Minute, 14 * 24 * time.Hour
	usualIdle, usualLife      = 15 * time.Minute, 8 * time.Hour
)

// lifeSpan is one of the two.
type lifeSpan time.Duration

func (s *lifeSpan) String() string { return (*timeSpan)(s).String() }

// Set reads what timeSpan does, within the bounds; 0 is none that anybody may say.
func (s *lifeSpan) Set(text string) error {
	var d timeSpan
	if err := d.Set(text); err != nil {
		return err
	}
	if span := time.Duration(d); span < shortestLife || span > longestLife || span%time.Second != 0 {
		return fmt.Errorf("%s is not from %s to %s, in whole seconds", text, inUnits(shortestLife), inUnits(longestLife))
	}
	*s = lifeSpan(d)
	return nil
}

func (*lifeSpan) Type() string { return "duration" }

// inUnits is a length of time as people type it: 14d, 8h, 1h30m, 90s.
func inUnits(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// checkLife refuses the two where they contradict each other. What is not said is
// what old says; nil is an agent that is not there yet.
func (s *surroundings) checkLife(name string, old *types.LifecycleConfiguration) error {
	life := s.lifeOf(old)
	if life == nil {
		return nil
	}
	seconds := func(n *int32, usual time.Duration) time.Duration {
		return cmp.Or(time.Duration(aws.ToInt32(n))*time.Second, usual)
	}
	most := seconds(life.MaxLifetime, usualLife)
	idle := seconds(life.IdleRuntimeSessionTimeout, min(usualIdle, most))
	switch {
	case idle <= most:
		return nil
	case s.idle != 0 && s.lifetime != 0:
		return misuse("--idle-timeout %s is longer than --max-lifetime %s, with which a session ends whatever it does; lower the one or raise the other", inUnits(idle), inUnits(most))
	case s.idle != 0:
		return misuse("--idle-timeout %s is longer than the %s that a session of %s lasts at most; add --max-lifetime %s", inUnits(idle), inUnits(most), name, inUnits(idle))
	}
	return misuse("--max-lifetime %s is shorter than the idle timeout of %s, %s; add --idle-timeout %s", inUnits(most), name, inUnits(idle), inUnits(most))
}

// lookAtLife holds what a deployment says of one end of sessions to what the agent
// has for the other, before anything is packed.
func (p *Program) lookAtLife(ctx context.Context, c *client.Client, s *surroundings, name string) error {
	if (s.idle == 0) == (s.lifetime == 0) {
		return nil // check has seen both
	}
	there, err := findRuntime(ctx, c, name)
	if err != nil {
		return err
	}
	if there == nil {
		return s.checkLife(name, nil)
	}
	old, err := c.Control().GetAgentRuntime(ctx, &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: there.AgentRuntimeId})
	switch {
	case client.Is(err, "ResourceNotFoundException"): // it went meanwhile
		return s.checkLife(name, nil)
	case err != nil:
		return err
	}
	return s.checkLife(name, old.LifecycleConfiguration)
}

// lifeOf is how long sessions are to live of an agent that has old. Unless it was
// ever said the server's own values stay unsaid.
func (s *surroundings) lifeOf(old *types.LifecycleConfiguration) *types.LifecycleConfiguration {
	if s.idle == 0 && s.lifetime == 0 {
		return old
	}
	life := types.LifecycleConfiguration{}
	if old != nil {
		life = *old
	}
	if s.idle != 0 {
		life.IdleRuntimeSessionTimeout = aws.Int32(int32(s.idle / time.Second))
	}
	if s.lifetime != 0 {
		life.MaxLifetime = aws.Int32(int32(s.lifetime / time.Second))
	}
	return &life
}

func sameLife(a, b *types.LifecycleConfiguration) bool {
	if a == nil || b == nil {
		return a == b
	}
	return aws.ToInt32(a.IdleRuntimeSessionTimeout) == aws.ToInt32(b.IdleRuntimeSessionTimeout) && aws.ToInt32(a.MaxLifetime) == aws.ToInt32(b.MaxLifetime)
}
