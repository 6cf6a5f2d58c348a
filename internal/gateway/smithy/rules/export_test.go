package rules

import "fmt"

// Value is what the first rule's first condition gives with the parameters of TestFunctions.
func Value(s *Set) string {
	v, err := s.rules[0].conditions[0].call.eval(&scope{params: map[string]any{"Text": "some-text", "Flag": true, "List": []any{"a", "b"}}})
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(v)
}
