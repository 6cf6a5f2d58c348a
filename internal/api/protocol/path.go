package protocol

import "strconv"

// memberPath is the path of the member that is being read, as refusals print
// it: a.b, list.1.member.c, map.key. Names are pushed and popped in place, so
// that a request without faults pays for no text.
type memberPath struct{ text []byte }

// push appends a member's or entry's name and returns the mark for pop.
func (p *memberPath) push(name string) (mark int) {
	mark = len(p.text)
	if mark > 0 {
		p.text = append(p.text, '.')
	}
	p.text = append(p.text, name...)
	return mark
}

// pushItem appends a list member, counted from 1 as AWS does.
func (p *memberPath) pushItem(i int) (mark int) {
	mark = len(p.text)
	if mark > 0 {
		p.text = append(p.text, '.')
	}
	p.text = strconv.AppendInt(p.text, int64(i)+1, 10)
	p.text = append(p.text, ".member"...)
	return mark
}

func (p *memberPath) pop(mark int) { p.text = p.text[:mark] }

func (p *memberPath) String() string { return string(p.text) }
