package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/client"
)

const invokeLong = `Sends PAYLOAD to an agent and prints its answer as it comes. PAYLOAD is JSON; a text that is no JSON is sent as
{"prompt": TEXT}, - reads standard input, @FILE reads a file, and none is {}. What - and @FILE give is sent as it is.

Of an event stream the JSON strings are printed as pieces of one text and other events on a line each. A JSON answer
is indented on a terminal. --raw prints the bytes that the agent sent.

A new session is started unless -s continues one; its id is printed on standard error.

An agent that takes the tokens of an issuer (outcrop deploy --issuer) is called with --token-file or --bearer-token.
Another finds in its requests whom it works for where --user-id says so, and gets that user's keys and tokens of services.

With --ws it connects to the agent's WebSocket instead: every line of standard input is a text message, and what the
agent sends is printed as it comes, a text message a line. With --binary what is read is sent as binary messages, and
nothing is put after what comes. Ctrl-D on a terminal closes the connection; at the end of a file or pipe it is closed
once nothing has come for --linger. How the agent closes is told on standard error; another code than 1000 is a failure.`

// invocation is what was asked for.
type invocation struct {
	ref, session, qualifier, contentType, accept string
	arn                                          string // that ref means
	found                                        bool   // it was there when we looked
	payload                                      []byte
	raw, json                                    bool
	socket                                       socketOptions
	user                                         userFlags
	where                                        string // flags that lead to the server
}

func newInvoke(p *Program, f *flags) *cobra.Command {
	var v invocation
	cmd := &cobra.Command{
		Use:   "invoke NAME|ARN [PAYLOAD|-|@FILE]",
		Short: "Run an agent and stream its answer",
		Long:  invokeLong,
		Example: `  outcrop invoke hello '{"prompt": "hi"}'
  outcrop invoke hello "and again" -s 4f1c2d0e-6a53-4d3b-9a86-0c6f6f1d2b11
  outcrop invoke hello @request.json --raw > answer
  echo '{"prompt": "hi"}' | outcrop invoke hello - --json
  outcrop invoke hello "hi" --token-file token.txt   as a user of the issuer that it trusts
  outcrop invoke hello "hi" --user-id ann          for a user whom you vouch for
  outcrop invoke --ws voice                       talk to it line by line`,
		Args: arguments(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if v.raw && v.json {
				return misuse("--raw and --json exclude each other")
			}
			v.ref = args[0]
			if err := v.user.read(p, cmd, args); err != nil {
				return err
			}
			if err := v.socket.check(cmd, args); err != nil {
				return err
			}
			if v.socket.on {
				return p.converse(cmd.Context(), f, v)
			}
			payload := "{}"
			if len(args) == 2 {
				payload = args[1]
			}
			var err error
			if v.payload, err = p.readPayload(payload, v.contentType); err != nil {
				return err
			}
			return p.invoke(cmd.Context(), f, v)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&v.session, "session", "s", "", "id of the `SESSION` to continue or to start, 33 to 256 characters")
	flags.StringVar(&v.qualifier, "qualifier", "", "`endpoint` of the agent (default DEFAULT)")
	flags.StringVar(&v.contentType, "content-type", "application/json", "`type` of the payload")
	flags.StringVar(&v.accept, "accept", "text/event-stream, application/json, */*", "`types` of answer that are wanted")
	flags.BoolVar(&v.raw, "raw", false, "print the answer's bytes as they are")
	flags.BoolVar(&v.json, "json", false, "print one JSON document with the answer and its session")
	v.socket.flags(flags)
	v.user.register(flags)
	return cmd
}

// maxPayload is the limit of an invocation (spec/runtime.md 8.1), in bytes.
const maxPayload = 100_000_000

// readPayload returns the bytes that an argument stands for.
func (p *Program) readPayload(arg, contentType string) ([]byte, error) {
	var from io.Reader
	switch {
	case arg == "-":
		from = p.Stdin
	case arg == "@":
		return nil, misuse("@ names no file; @FILE reads one, and - reads standard input")
	case strings.HasPrefix(arg, "@"):
		f, err := os.Open(arg[1:])
		if err != nil {
			return nil, misuse("read payload: %w", err)
		}
		defer func() { _ = f.Close() }()
		from = f
	case contentType != "application/json" || json.Valid([]byte(arg)):
		return []byte(arg), nil
	case strings.HasPrefix(strings.TrimSpace(arg), "{"):
		var v any
		return nil, misuse("the payload looks like JSON but is not: %w", json.Unmarshal([]byte(arg), &v))
	default:
		return json.Marshal(map[string]string{"prompt": arg})
	}
	b, err := io.ReadAll(io.LimitReader(from, maxPayload+1))
	if err != nil {
		return nil, fmt.Errorf("read payload: %w", err)
	}
	if len(b) > maxPayload {
		return nil, misuse("the payload is longer than %d bytes", maxPayload)
	}
	return b, nil
}

func (p *Program) invoke(ctx context.Context, f *flags, v invocation) error {
	c, err := p.openSession(ctx, f, &v)
	if err != nil {
		return err
	}
	in := &bedrockagentcore.InvokeAgentRuntimeInput{
		AgentRuntimeArn: aws.String(v.arn), RuntimeSessionId: aws.String(v.session), Payload: v.payload,
		ContentType: aws.String(v.contentType), Accept: aws.String(v.accept),
		Qualifier: wire.Optional(v.qualifier), RuntimeUserId: wire.Optional(v.user.id),
	}
	out, err := c.Data().InvokeAgentRuntime(ctx, in)
	if own := (*client.AgentError)(nil); errors.As(err, &own) {
		return p.printAgentError(own, v)
	}
	if err != nil {
		return p.invokeFailure(ctx, c, err, v)
	}
	defer func() { _ = out.Response.Close() }()
	if id := aws.ToString(out.RuntimeSessionId); id != "" {
		v.session = id
	}
	err = p.printAnswer(out, v)
	if broken := (*brokenError)(nil); errors.As(err, &broken) && ctx.Err() == nil {
		return p.explainBroken(ctx, c, broken, v)
	}
	if refused := client.Told(out.ResultMetadata); refused != nil && err == nil {
		return p.invokeFailure(ctx, c, refused, v)
	}
	if !v.json {
		p.say("Session %s. To continue it: %s PAYLOAD", v.session, v.callAgain("invoke"))
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// printAgentError prints what an agent said that answered with no success.
func (p *Program) printAgentError(own *client.AgentError, v invocation) error {
	v.session = own.SessionID
	err := p.printAnswer(&bedrockagentcore.InvokeAgentRuntimeOutput{
		ContentType: aws.String(own.ContentType), StatusCode: aws.Int32(int32(own.Status)), Response: io.NopCloser(bytes.NewReader(own.Body)),
	}, v)
	if err != nil {
		return err
	}
	return fail("What it said is printed. Its log may say more: "+v.logCommand(), "%w", own)
}

// printAnswer writes the body in the way that fits its type and the reader.
func (p *Program) printAnswer(out *bedrockagentcore.InvokeAgentRuntimeOutput, v invocation) error {
	contentType := aws.ToString(out.ContentType)
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		kind = contentType
	}
	switch {
	case v.json:
		return p.printAnswerJSON(out, v, kind)
	case v.raw:
		return copyAnswer(p.Stdout, out.Response)
	}
	w, finish := p.answerWriter()
	switch {
	case kind == "text/event-stream":
		err = printEvents(w, out.Response, v)
	case isJSON(kind) && p.StdoutTerminal:
		err = printIndented(w, out.Response)
	default:
		err = copyAnswer(w, out.Response)
	}
	return errors.Join(err, finish())
}

// answerWriter is standard output, made safe and finished with a line end where
// it is a terminal.
func (p *Program) answerWriter() (io.Writer, func() error) {
	if !p.StdoutTerminal {
		return p.Stdout, func() error { return nil }
	}
	last := &lastByte{w: p.Stdout}
	safe := &terminalWriter{w: last}
	return safe, func() error {
		err := safe.Flush()
		if last.any && last.b != '\n' {
			_, end := io.WriteString(p.Stdout, "\n")
			err = errors.Join(err, end)
		}
		return err
	}
}

// lastByte remembers how the output ends.
type lastByte struct {
	w   io.Writer
	b   byte
	any bool
}

func (l *lastByte) Write(b []byte) (int, error) {
	if len(b) > 0 {
		l.b, l.any = b[len(b)-1], true
	}
	return l.w.Write(b)
}

func isJSON(kind string) bool { return kind == "application/json" || strings.HasSuffix(kind, "+json") }

// copyAnswer writes every piece as soon as it is here.
func copyAnswer(w io.Writer, r io.Reader) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return fmt.Errorf("print answer: %w", err)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return &brokenError{err}
		}
	}
}

func printEvents(w io.Writer, r io.Reader, v invocation) error {
	text := &eventText{w: w}
	events := &eventReader{emit: text.event}
	err := copyAnswer(events, r)
	err = errors.Join(err, events.Close(), text.end())
	if err == nil && text.failure != nil {
		err = fail("Its log says more: "+v.logCommand(), "the agent failed: %s: %s", text.failure.Type, text.failure.Text)
	}
	return err
}

// maxIndented is up to where a JSON answer is held back to be indented, in bytes.
const maxIndented = 4 << 20

func printIndented(w io.Writer, r io.Reader) error {
	var head bytes.Buffer
	err := copyAnswer(&head, io.LimitReader(r, maxIndented))
	var pretty bytes.Buffer
	if err == nil && head.Len() < maxIndented && json.Indent(&pretty, head.Bytes(), "", "  ") == nil {
		_, err = pretty.WriteTo(w)
		return err
	}
	_, writeErr := head.WriteTo(w)
	if err = errors.Join(err, writeErr); err != nil {
		return err
	}
	return copyAnswer(w, r)
}

// printAnswerJSON writes the answer as one document: its JSON, the list of its
// events' data, its text, or its bytes in base64.
func (p *Program) printAnswerJSON(out *bedrockagentcore.InvokeAgentRuntimeOutput, v invocation, kind string) error {
	doc := struct {
		SessionID   string `json:"sessionId"`
		StatusCode  int32  `json:"statusCode,omitempty"`
		ContentType string `json:"contentType"`
		Answer      any    `json:"answer,omitempty"`
		Events      []any  `json:"events,omitempty"`
		Bytes       []byte `json:"bytes,omitempty"`
	}{SessionID: v.session, StatusCode: aws.ToInt32(out.StatusCode), ContentType: aws.ToString(out.ContentType)}
	var body bytes.Buffer
	if err := copyAnswer(&body, io.LimitReader(out.Response, maxEvent+1)); err != nil {
		return err
	}
	switch {
	case body.Len() > maxEvent:
		return fail("Use --raw.", "the answer is longer than %s", size(maxEvent))
	case kind == "text/event-stream":
		events := &eventReader{emit: func(data []byte) error {
			doc.Events = append(doc.Events, jsonOrText(bytes.Clone(data)))
			return nil
		}}
		_, err := body.WriteTo(events)
		if err = errors.Join(err, events.Close()); err != nil {
			return err
		}
	case utf8.Valid(body.Bytes()):
		doc.Answer = jsonOrText(body.Bytes())
	default:
		doc.Bytes = body.Bytes()
	}
	return p.printJSON(doc)
}

func jsonOrText(b []byte) any {
	if json.Valid(b) {
		return json.RawMessage(b)
	}
	return string(b)
}
