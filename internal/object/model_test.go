package object_test

import (
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/object"
)

// model is the naive bucket that the real one is compared with: all in memory,
// every listing by looking at everything.
type model struct {
	state object.Versioning
	keys  map[string][]modelVersion // the newest first
}

type modelVersion struct {
	id      string
	marker  bool
	content string
}

func (m *model) add(key string, v modelVersion) {
	if v.id == "" || v.id == object.NullVersion {
		v.id = object.NullVersion
		m.remove(key, object.NullVersion)
	}
	m.keys[key] = slices.Insert(m.keys[key], 0, v)
}

func (m *model) remove(key, id string) {
	m.keys[key] = slices.DeleteFunc(m.keys[key], func(v modelVersion) bool { return v.id == id })
	if len(m.keys[key]) == 0 {
		delete(m.keys, key)
	}
}

func (m *model) live(key string) (modelVersion, bool) {
	if vs := m.keys[key]; len(vs) > 0 && !vs[0].marker {
		return vs[0], true
	}
	return modelVersion{}, false
}

func (m *model) sorted() []string {
	keys := make([]string, 0, len(m.keys))
	for key := range m.keys {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// entry is a line of a listing: a key, a version of it or a common prefix.
type entry struct {
	key, version   string
	prefix, latest bool
}

func common(key, prefix, delimiter string) string {
	if delimiter == "" {
		return ""
	}
	before, _, found := strings.Cut(key[len(prefix):], delimiter)
	if !found {
		return ""
	}
	return prefix + before + delimiter
}

// objects lists everything, with after as start-after does.
func (m *model) objects(prefix, delimiter, after string) []entry {
	var list []entry
	for _, key := range m.sorted() {
		if _, ok := m.live(key); !ok || !strings.HasPrefix(key, prefix) || key <= after && after != "" {
			continue
		}
		e := entry{key: key}
		if c := common(key, prefix, delimiter); c != "" {
			e = entry{key: c, prefix: true}
		}
		if len(list) == 0 || list[len(list)-1] != e {
			list = append(list, e)
		}
	}
	return list
}

// versions lists everything.
func (m *model) versions(prefix, delimiter string) []entry {
	var list []entry
	for _, key := range m.sorted() {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		if c := common(key, prefix, delimiter); c != "" {
			if e := (entry{key: c, prefix: true}); len(list) == 0 || list[len(list)-1] != e {
				list = append(list, e)
			}
			continue
		}
		for i, v := range m.keys[key] {
			list = append(list, entry{key: key, version: v.id, latest: i == 0})
		}
	}
	return list
}
