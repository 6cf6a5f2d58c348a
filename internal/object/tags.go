package object

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// Tags are names and values that a caller ties to an object or a bucket.
type Tags map[string]string

// The limits of S3: of tags, and of characters in their keys and values.
const (
	MaxObjectTags = 10
	MaxBucketTags = 50
	maxTagKey     = 128
	maxTagValue   = 256
)

// Check holds the rules for the tags of a bucket or, where most is MaxObjectTags,
// of an object. Errors: BadRequest (too many), InvalidTag.
func (t Tags) Check(most int) error {
	if len(t) > most {
		what := "Object tags"
		if most == MaxBucketTags {
			what = "Bucket tag count"
		}
		return fault.BadRequest("BadRequest", "%s cannot be greater than %d", what, most)
	}
	for key, value := range t {
		switch {
		case strings.HasPrefix(key, "aws:"):
			return with(fault.BadRequest("InvalidTag", "System tags cannot be added/updated by requester"), "TagKey", key)
		case key == "" || !tagText(key, maxTagKey):
			return with(fault.BadRequest("InvalidTag", "The TagKey you have provided is invalid"), "TagKey", key)
		case !tagText(value, maxTagValue):
			return with(fault.BadRequest("InvalidTag", "The TagValue you have provided is invalid"), "TagKey", key, "TagValue", value)
		}
	}
	return nil
}

// tagText reports whether a text is of letters, digits, spaces and + - = . _ : / @.
func tagText(text string, most int) bool {
	if !utf8.ValidString(text) || utf8.RuneCountInString(text) > most {
		return false
	}
	return strings.IndexFunc(text, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Zs, r) && !unicode.IsMark(r) && !strings.ContainsRune("+-=._:/@", r)
	}) < 0
}

// SetTags replaces the tags of an object, or of the version with an id. Errors:
// those of Head, BadRequest and InvalidTag.
func (s *Storage) SetTags(ctx context.Context, id ID, versionID string, t Tags) (Info, error) {
	if err := t.Check(MaxObjectTags); err != nil {
		return Info{}, err
	}
	var info Info
	err := s.store.Update(ctx, func(tx store.Tx) error {
		b, v, err := look(tx, id, versionID, ReadCondition{})
		if err != nil {
			return err
		}
		v.Tags = maps.Clone(t)
		row, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("encode version: %w", err)
		}
		info = v.info(b, id.Key)
		return tx.PutRow(tableVersion, versionKey(id.Bucket, id.Key, v.seq), row)
	})
	if err != nil {
		return Info{}, failed(err, "set tags of %s", id)
	}
	return info, nil
}
