package protocol

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// parseScalar reads a scalar from text: a path label, a query or header value,
// or the text of an XML element.
func parseScalar(sh *schema.Shape, format schema.Format, text string, path *memberPath, into reflect.Value) error {
	bad := func(want string) error { return mismatch(path.String(), want, strconv.Quote(clip(text))) }
	switch sh.Kind {
	case schema.String:
		into.SetString(text)
	case schema.Boolean:
		switch text {
		case "true":
			into.SetBool(true)
		case "false":
			into.SetBool(false)
		default:
			return bad("true or false")
		}
	case schema.Integer, schema.Long:
		n, err := strconv.ParseInt(text, 10, into.Type().Bits())
		if errors.Is(err, strconv.ErrRange) {
			most := int64(math.MaxInt64) >> (64 - into.Type().Bits())
			return bad(fmt.Sprintf("a whole number from %d to %d", -most-1, most))
		}
		if err != nil {
			return bad("a whole number")
		}
		into.SetInt(n)
	case schema.Float, schema.Double:
		f, err := parseFloat(text, into.Type().Bits())
		if err != nil {
			return bad("a number")
		}
		into.SetFloat(f)
	case schema.Timestamp:
		t, err := parseTime(text, format)
		if err != nil {
			return bad("a timestamp")
		}
		into.Set(reflect.ValueOf(t))
	case schema.Blob:
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return bad("base64")
		}
		into.SetBytes(b)
	default:
		return bad("a scalar")
	}
	return nil
}

// scalar reports whether values of the kind can be written as text.
func scalar(k schema.Kind) bool {
	switch k {
	case schema.Structure, schema.List, schema.Map, schema.Document:
		return false
	}
	return true
}

// formatScalar is the text of a scalar.
func formatScalar(sh *schema.Shape, format schema.Format, v reflect.Value) string {
	switch sh.Kind {
	case schema.Boolean:
		return strconv.FormatBool(v.Bool())
	case schema.Integer, schema.Long:
		return strconv.FormatInt(v.Int(), 10)
	case schema.Float, schema.Double:
		return formatFloat(v.Float(), v.Type().Bits())
	case schema.Timestamp:
		return formatTime(v.Interface().(time.Time), format)
	case schema.Blob:
		return base64.StdEncoding.EncodeToString(v.Bytes())
	}
	return v.String()
}

// timeFormat resolves a member's timestamp format: the member's own, the
// shape's, or the default of the place.
func timeFormat(m *schema.Member, sh *schema.Shape, fallback schema.Format) schema.Format {
	switch {
	case m != nil && m.Format != schema.DefaultFormat:
		return m.Format
	case sh.Format != schema.DefaultFormat:
		return sh.Format
	}
	return fallback
}

// parseTime accepts the format that is modelled, and the other two as well:
// clients differ, and no text is valid in two of them with different meanings.
func parseTime(text string, format schema.Format) (time.Time, error) {
	if t, err := http.ParseTime(text); err == nil {
		return t.UTC(), nil
	}
	if seconds, err := parseFloat(text, 64); err == nil {
		return epoch(seconds)
	}
	t, err := time.Parse(time.RFC3339Nano, strings.Replace(text, " ", "T", 1))
	return t.UTC(), err
}

// maxEpoch is the end of the year 9999, beyond which no text form exists.
const maxEpoch = 253402300799

// epoch turns seconds into a time with millisecond precision.
func epoch(seconds float64) (time.Time, error) {
	if math.IsNaN(seconds) || math.Abs(seconds) > maxEpoch {
		return time.Time{}, strconv.ErrRange
	}
	return time.UnixMilli(int64(math.Round(seconds * 1000))).UTC(), nil
}

func formatTime(t time.Time, format schema.Format) string {
	t = t.UTC()
	switch format {
	case schema.EpochSeconds:
		return epochText(t)
	case schema.HTTPDate:
		return t.Format(http.TimeFormat)
	}
	return t.Format("2006-01-02T15:04:05.999Z07:00")
}

// epochText is seconds since 1970 with up to three decimals.
func epochText(t time.Time) string {
	ms := t.UnixMilli()
	if ms%1000 == 0 {
		return strconv.FormatInt(ms/1000, 10)
	}
	return strconv.FormatFloat(float64(ms)/1000, 'f', -1, 64)
}

// parseFloat also reads the names that JSON has no numbers for. "inf",
// "0x1p-2" and friends are Go's alone.
func parseFloat(text string, bits int) (float64, error) {
	switch text {
	case "NaN":
		return math.NaN(), nil
	case "Infinity":
		return math.Inf(1), nil
	case "-Infinity":
		return math.Inf(-1), nil
	}
	if strings.Trim(text, "+-.0123456789eE") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(text, bits)
}

func formatFloat(f float64, bits int) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return strconv.FormatFloat(f, 'g', -1, bits)
}

// clip keeps an error text short.
func clip(s string) string { return fault.Clip(s, 64) }
