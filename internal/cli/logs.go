package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/client"
)

// logPage is how many events are asked for at once; followSeconds is how long the
// server holds an answer back until there is one, its limit.
const (
	logPage       = 1000
	followSeconds = 20
)

type logQuery struct {
	ref, session, qualifier string
	timestamps              bool
	history
}

// history says how much of what is on record a command prints, and how.
type history struct {
	since        time.Duration
	last         int // 0 is all
	follow, json bool
}

// register adds the flags: what the command prints usual of, such as LINES, and spans that
// are examples of --since.
func (h *history) register(fs *pflag.FlagSet, usual int, what, spans string) {
	spanVar(fs, &h.since, "since", 0, "not older than this `DURATION`, such as "+spans)
	fs.IntVarP(&h.last, "lines", "n", usual, "at most this many `"+what+"` of the past")
	fs.BoolVarP(&h.follow, "follow", "f", false, "wait for more, until Ctrl-C")
	fs.BoolVar(&h.json, "json", false, "print a JSON document a line")
}

// check refuses what cannot be. With --since and without a number the last is all.
func (h *history) check(cmd *cobra.Command, most, all int) error {
	switch {
	case h.last < 1 || h.last > most:
		return misuse("-n %d is not between 1 and %d", h.last, most)
	case h.since < 0:
		return misuse("--since %s is in the future", h.since)
	case h.since > 0 && !cmd.Flags().Changed("lines"):
		h.last = all
	}
	return nil
}

// stamp is how a time stands before what is on record.
func stamp(t *time.Time) string { return aws.ToTime(t).UTC().Format("2006-01-02T15:04:05.000Z") }

func newLogs(p *Program, f *flags) *cobra.Command {
	var q logQuery
	cmd := &cobra.Command{
		Use:   "logs NAME|ARN",
		Short: "Print what an agent wrote to standard output and standard error",
		Long: `Prints what an agent wrote to standard output and standard error: of all its sessions or of one, the last 200 lines
or what --since and -n say. -f goes on until Ctrl-C. -s snapshot shows how a version's snapshot was made, -s image how its
container image came, -s packages how the packages of a zip made for AWS were replaced. The ARN of a Lambda function
prints the log of that.`,
		Example: `  outcrop logs hello -f
  outcrop logs hello --since 10m -t
  outcrop logs arn:aws:lambda:us-east-1:111122223333:function:hello -f
  outcrop logs hello -s 4f1c2d0e-6a53-4d3b-9a86-0c6f6f1d2b11 --json`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.ref = args[0]
			if err := q.check(cmd, 10000, 0); err != nil {
				return err
			}
			return p.logs(cmd.Context(), f, q)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&q.session, "session", "s", "", "of this `SESSION` only")
	flags.StringVar(&q.qualifier, "qualifier", "", "of this `endpoint` only")
	q.register(flags, 200, "LINES", "90s, 10m or 24h")
	flags.BoolVarP(&q.timestamps, "timestamps", "t", false, "begin each line with its time")
	return cmd
}

func (p *Program) logs(ctx context.Context, f *flags, q logQuery) error {
	m := functionARN.FindStringSubmatch(q.ref)
	if m != nil {
		if f.region != "" && f.region != m[1] {
			return misuse("--region %s differs from that of %s", f.region, q.ref)
		}
		f.region = m[1]
	} else if err := checkRef(q.ref, f); err != nil {
		return err
	}
	c, err := p.connect(ctx, f)
	if err != nil {
		return err
	}
	id := q.ref
	if m == nil {
		if id, err = resolveID(ctx, c, q.ref); err != nil {
			return err
		}
	}
	in := outcrop.GetRuntimeLogsRequest{
		AgentRuntimeId: aws.String(id), MaxResults: aws.Int32(logPage), SessionId: wire.Optional(q.session), EndpointName: wire.Optional(q.qualifier),
	}
	if q.since > 0 {
		in.Since = aws.Time(p.Now().Add(-q.since))
	}
	if q.last > 0 {
		in.Last = aws.Int32(int32(q.last))
	}
	printed, err := p.printLogs(ctx, c, in, q)
	if err == nil && printed == 0 {
		p.say("Nothing was logged%s.", q.of())
	}
	return err
}

// of names what was asked for, since nothing tells a wrong name from a silent one.
func (q logQuery) of() string {
	var of string
	if q.session != "" {
		of += " in session " + q.session
	}
	if q.qualifier != "" {
		of += " at endpoint " + q.qualifier
	}
	if q.since > 0 {
		of += " in the last " + q.since.String()
	}
	return of
}

// printLogs prints page after page; it ends where the log ends, or with ctx if
// it follows.
func (p *Program) printLogs(ctx context.Context, c *client.Client, in outcrop.GetRuntimeLogsRequest, q logQuery) (printed int, err error) {
	w, finish := p.answerWriter()
	defer func() { err = errors.Join(err, finish()) }()
	begun := p.Now()
	for {
		page, err := c.Logs(ctx, in)
		if err != nil {
			return printed, err
		}
		for _, e := range page.Events {
			if err := writeEvent(w, e, q); err != nil {
				return printed, err
			}
		}
		printed += len(page.Events)
		next := aws.ToString(page.NextToken)
		if next == "" {
			return printed, errors.New("read log: the server gave no place to go on from")
		}
		// The same token again means that there is no more for now. An agent that
		// writes all the time does not keep us reading for ever.
		last := len(page.Events) - 1
		if !q.follow && (next == aws.ToString(in.NextToken) || last >= 0 && aws.ToTime(page.Events[last].Timestamp).After(begun)) {
			return printed, nil
		}
		in.NextToken, in.Last = page.NextToken, nil
		if q.follow {
			in.WaitSeconds = aws.Int32(followSeconds)
		}
	}
}

func writeEvent(w io.Writer, e outcrop.LogEvent, q logQuery) error {
	at := stamp(e.Timestamp)
	if q.json {
		b, err := json.Marshal(struct {
			Timestamp string `json:"timestamp"`
			Stream    string `json:"stream,omitempty"`
			Message   string `json:"message"`
		}{at, aws.ToString(e.Stream), aws.ToString(e.Message)})
		if err != nil {
			return err
		}
		_, err = w.Write(append(b, '\n'))
		return err
	}
	line := strings.TrimSuffix(aws.ToString(e.Message), "\n")
	if q.timestamps {
		line = at + " " + line
	}
	_, err := fmt.Fprintln(w, line)
	return err
}
