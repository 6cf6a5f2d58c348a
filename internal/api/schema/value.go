package schema

import "reflect"

// Present reports whether a member is set, and returns what it holds.
func Present(field reflect.Value) (reflect.Value, bool) {
	switch field.Kind() {
	case reflect.Pointer:
		if field.IsNil() {
			return reflect.Value{}, false
		}
		return field.Elem(), true
	case reflect.Slice, reflect.Map, reflect.Interface, reflect.Func:
		return field, !field.IsNil()
	}
	return field, true
}
