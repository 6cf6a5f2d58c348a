package settings

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// maxKnown is how many members of an object are listed where another is unknown.
const maxKnown = 16

// unknown finds a member that a type does not have, and returns its path, as in
// "webSearch.uri", and the members of the object that it is in. Path is empty where all
// are known. The decoder names the member alone, not where it is.
func unknown(raw json.RawMessage, t reflect.Type, at string) (path string, known []string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return "", nil
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return unknownIn(raw, t, at)
	case reflect.Slice:
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil {
			return "", nil
		}
		for i, item := range list {
			if path, known = unknown(item, t.Elem(), fmt.Sprintf("%s[%d]", at, i)); path != "" {
				return path, known
			}
		}
	}
	return "", nil
}

func unknownIn(raw json.RawMessage, t reflect.Type, at string) (path string, known []string) {
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil {
		return "", nil
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		path := name
		if at != "" {
			path = at + "." + name
		}
		member := t
		if t.Kind() == reflect.Map {
			member = t.Elem()
		} else if member, known = memberOf(t, name); member == nil {
			return path, known
		}
		if path, known := unknown(object[name], member, path); path != "" {
			return path, known
		}
	}
	return "", nil
}

// memberOf is the type of a struct's member, or nil and the members that it has.
func memberOf(t reflect.Type, name string) (member reflect.Type, known []string) {
	for _, f := range reflect.VisibleFields(t) {
		own, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || own == "-" || own == "" && f.Anonymous {
			continue
		}
		if own == "" {
			own = f.Name
		}
		if strings.EqualFold(own, name) { // as the decoder takes them
			return f.Type, nil
		}
		known = append(known, own)
	}
	return nil, known
}
