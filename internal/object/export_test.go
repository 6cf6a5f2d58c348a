package object

import (
	"encoding/json"
	"fmt"

	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// SmallSize is the largest content that is kept in a row.
const SmallSize = smallSize

// Audit checks every count of the index against who needs the contents, the
// listing against the newest versions, and that no garbage is left.
func Audit(r store.Reader) error {
	users := map[segment.ID]uint64{}
	current, err := auditVersions(r, users)
	if err != nil {
		return err
	}
	for row, err := range r.Rows(tableCurrent, store.Range{}) {
		if err != nil {
			return err
		}
		if !current[string(row.Key)] {
			return fmt.Errorf("%q is listed and has no live newest version", row.Key)
		}
		delete(current, string(row.Key))
	}
	if len(current) > 0 {
		return fmt.Errorf("%d objects are not listed: %v", len(current), current)
	}
	for row, err := range r.Rows(tablePart, store.Range{}) {
		if err != nil {
			return err
		}
		var p part
		if err := json.Unmarshal(row.Value, &p); err != nil {
			return err
		}
		users[p.Content]++
	}
	for row, err := range r.Rows(tableGarbage, store.Range{}) {
		return fmt.Errorf("garbage %q is left, %w", row.Key, err)
	}
	return auditContents(r, users)
}

func auditVersions(r store.Reader, users map[segment.ID]uint64) (current map[string]bool, err error) {
	current = map[string]bool{}
	seen := map[string]bool{}
	for row, err := range r.Rows(tableVersion, store.Range{}) {
		if err != nil {
			return nil, err
		}
		name := row.Key[:len(row.Key)-seqSize]
		seq, _ := seqOf(row.Key[len(name):])
		v, err := decodeVersion(row.Value, seq)
		if err != nil {
			return nil, err
		}
		if !v.Marker {
			users[v.Content]++
		}
		if !seen[string(name)] && !v.Marker {
			for i, c := range name {
				if c != 0 {
					continue
				}
				key, _, ok := cutKey(name[i+1:])
				if !ok {
					return nil, fmt.Errorf("%q is not a row key of a version", row.Key)
				}
				current[string(name[:i+1])+key] = true
				break
			}
		}
		seen[string(name)] = true
	}
	return current, nil
}

func auditContents(r store.Reader, users map[segment.ID]uint64) error {
	stored := map[segment.ID]uint64{}
	chunks := 0
	for row, err := range r.Rows(tableContent, store.Range{}) {
		if err != nil {
			return err
		}
		if len(row.Key) != len(segment.ID{}) {
			chunks--
			continue
		}
		id := segment.ID(row.Key)
		c, err := decodeContent(row.Value)
		if err != nil {
			return err
		}
		stored[id] = c.refs
		if c.kind != kindList {
			continue
		}
		chunks += (int(c.parts) + listChunk - 1) / listChunk
		members, err := readMembers(r, id, c)
		if err != nil {
			return err
		}
		for _, m := range members {
			users[m.id]++
		}
	}
	if chunks != 0 {
		return fmt.Errorf("%d rows of lists too few (or, negative, too many)", chunks)
	}
	for id, n := range users {
		if stored[id] != n {
			return fmt.Errorf("content %s has %d users and counts %d", id, n, stored[id])
		}
	}
	if len(stored) != len(users) {
		return fmt.Errorf("%d contents are stored and %d used", len(stored), len(users))
	}
	return nil
}

// Fill writes n objects without content: half of them as flat/NNNNNN, half as
// tree/NNNN/NN, fifty below each prefix (at 100,000).
func Fill(tx store.Tx, bucket string, n int) error {
	b := Bucket{Name: bucket}
	for i := range n {
		key := fmt.Sprintf("flat/%06d", i/2)
		if i%2 == 1 {
			key = fmt.Sprintf("tree/%04d/%02d", i/100, i%100/2)
		}
		v := version{ETag: "d41d8cd98f00b204e9800998ecf8427e", Checksum: Checksum{Algorithm: "CRC64NVME", Type: "FULL_OBJECT", Value: "AAAAAAAAAAA="}}
		if _, err := publish(tx, b, key, v, [stampRandom]byte{}); err != nil {
			return err
		}
	}
	return nil
}

// FillParts writes n parts of the smallest size, without bytes.
func FillParts(tx store.Tx, upload string, n int) ([]CompletedPart, error) {
	st, _ := parseStamp(upload)
	var parts []CompletedPart
	for number := 1; number <= n; number++ {
		p := part{Size: MinPartSize, MD5: make([]byte, 16), Sum: make([]byte, 8), Modified: tx.Now()}
		copy(p.Content[:], partKey(st, number)[10:])
		row, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		if err := tx.PutRow(tablePart, partKey(st, number), row); err != nil {
			return nil, err
		}
		if err := writeContent(tx, p.Content, content{kind: kindFile, refs: 1, size: p.Size}); err != nil {
			return nil, err
		}
		parts = append(parts, p.uploaded(number).completed())
	}
	return parts, nil
}

func (p UploadedPart) completed() CompletedPart { return CompletedPart{Number: p.Number, ETag: p.ETag} }
