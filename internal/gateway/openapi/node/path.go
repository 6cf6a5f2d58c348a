package node

import "strconv"

// Path is where a value is in a document, kept as steps so that only what is told of costs
// the text of a pointer. The nil Path is the document itself.
type Path struct {
	up   *Path
	name string
}

// Down is the path of a member.
func (p *Path) Down(name string) *Path { return &Path{p, name} }

// At is the path of an item.
func (p *Path) At(i int) *Path { return p.Down(strconv.Itoa(i)) }

// Pointer is the JSON pointer of the path.
func (p *Path) Pointer() string {
	if p == nil {
		return ""
	}
	return Pointer(p.up.Pointer(), p.name)
}

// String is the pointer as the fragment of a URL, as references write it.
func (p *Path) String() string { return "#" + p.Pointer() }

// To is the path that a JSON pointer leads along.
func To(pointer string) *Path {
	var p *Path
	for len(pointer) > 0 && pointer[0] == '/' {
		end := 1
		for end < len(pointer) && pointer[end] != '/' {
			end++
		}
		p = p.Down(unescape.Replace(pointer[1:end]))
		pointer = pointer[end:]
	}
	return p
}
