package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/jwt"
)

// conditionKeys fills the condition keys that the table names from an input, in
// addition to those that are there.
func conditionKeys(svc *schema.Service, op *schema.Operation, in any, have map[string][]string) map[string][]string {
	if len(op.Keys) == 0 || in == nil || op.Input < 0 {
		return have
	}
	out := maps.Clone(have)
	if out == nil {
		out = make(map[string][]string, len(op.Keys))
	}
	for i := range op.Keys {
		k := &op.Keys[i]
		if k.Member == "" {
			out[k.Name] = []string{k.Set}
			continue
		}
		v, set := find(svc, svc.Shape(op.Input), reflect.ValueOf(in).Elem(), k.Member)
		switch {
		case k.Set != "" || k.Unset != "" && !set: // Unset alone is a default
			value := k.Unset
			if set {
				value = k.Set
			}
			if value != "" {
				out[k.Name] = []string{value}
			}
		case set && strings.HasSuffix(k.Name, "/") && v.Kind() == reflect.String:
			// Its handler verifies the token, or refuses the call whatever was decided.
			if t, err := jwt.Claimed(v.String()); err == nil {
				for name, values := range t.Conditions() {
					out[k.Name+name] = values
				}
			}
		case set && strings.HasSuffix(k.Name, "/"):
			for _, t := range tagsOf(v) {
				// Keys of conditions do not differ by case: of two tags that do both
				// values are asked about.
				name := k.Name + strings.ToLower(t[0])
				out[name] = append(out[name], t[1])
			}
		case set:
			if values := valuesOf(v); len(values) > 0 {
				out[k.Name] = values
			}
		}
	}
	return out
}

// onBehalf reports whether an action is another service's, which this one calls for its
// caller. Passing a role on is no call.
func onBehalf(svc *schema.Service, action string) bool {
	service, name, _ := strings.Cut(action, ":")
	return service != svc.SigningName && name != "PassRole"
}

// calledVia is what conditions can ask about such a call (IAM guide, "Forward access
// sessions").
func calledVia(ctx context.Context, svc *schema.Service) context.Context {
	via := []string{svc.SigningName + ".amazonaws.com"}
	return auth.WithKeys(ctx, map[string][]string{
		"aws:viaawsservice": {"true"}, "aws:calledvia": via, "aws:calledviafirst": via, "aws:calledvialast": via,
	})
}

// find returns the member at the end of a path, if it is set.
func find(svc *schema.Service, sh *schema.Shape, v reflect.Value, path string) (reflect.Value, bool) {
	name, rest, more := strings.Cut(path, ".")
	field, shape, set := member(sh, v, name)
	if !set || !more {
		return field, set
	}
	return find(svc, svc.Shape(shape), field, rest)
}

// valuesOf returns a value, those of a list, or the keys of tags.
func valuesOf(v reflect.Value) []string {
	switch {
	case v.Kind() == reflect.Map, v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		var out []string
		for _, t := range tagsOf(v) {
			out = append(out, t[0])
		}
		return out
	case v.Kind() == reflect.Slice:
		var out []string
		for i := range v.Len() {
			if e, set := schema.Present(v.Index(i)); set {
				out = append(out, fmt.Sprint(e.Interface()))
			}
		}
		return out
	}
	return []string{fmt.Sprint(v.Interface())}
}

// tagsOf returns tags, which are a map or a list of structures with a key and a
// value, by key.
func tagsOf(v reflect.Value) [][2]string {
	var out [][2]string
	switch v.Kind() {
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if e, set := schema.Present(it.Value()); set {
				out = append(out, [2]string{it.Key().String(), fmt.Sprint(e.Interface())})
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			e, set := schema.Present(v.Index(i))
			if !set || e.Kind() != reflect.Struct {
				continue
			}
			var t [2]string
			for j, names := range [2][2]string{{"Key", "TagKey"}, {"Value", "TagValue"}} { // KMS has the longer ones
				f := e.FieldByName(names[0])
				if !f.IsValid() {
					f = e.FieldByName(names[1])
				}
				if f.IsValid() {
					if f, set := schema.Present(f); set {
						t[j] = fmt.Sprint(f.Interface())
					}
				}
			}
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	return out
}
