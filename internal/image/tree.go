package image

import (
	"fmt"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
)

// tree is what the archive would put on disk, directories included that are only
// named as parents. Nodes know their parent and their own name alone, so that its
// size is that of the names in the archive, however deep they are.
type tree struct {
	nodes []node // parents before children; the first is the root
	index map[childKey]int32
	limit int
	steps int // what following links may still cost
	links int // bytes of targets so far
}

type node struct {
	parent int32
	kind   kind
	name   string
	target string // of a link
}

type childKey struct {
	parent int32
	name   string
}

const rootNode, noNode int32 = 0, -1

func newTree(limit int) tree {
	return tree{nodes: []node{{parent: noNode, kind: kindDir}}, index: map[childKey]int32{}, limit: limit, steps: maxSteps}
}

// insert adds path and its parents and returns its node. Names that differ by case
// alone are two, as in the guest.
func (t *tree) insert(path string, k kind) (int32, error) {
	if path == "" { // the archive's own directory
		return rootNode, nil
	}
	at, rest := rootNode, path
	for {
		part, tail, more := strings.Cut(rest, "/")
		if !more {
			return t.put(at, path, part, k)
		}
		next, err := t.put(at, path, part, kindDir)
		if err != nil {
			return noNode, err
		}
		at, rest = next, tail
	}
}

func (t *tree) put(parent int32, entry, name string, k kind) (int32, error) {
	key := childKey{parent, name}
	at, ok := t.index[key]
	if !ok {
		if len(t.nodes) > t.limit {
			return noNode, fault.Validation("The code zip holds more than %d files and directories (entry %s reaches it). Leave out caches, tests and development packages.", t.limit, quote(entry))
		}
		at = int32(len(t.nodes))
		t.nodes = append(t.nodes, node{parent: parent, kind: k, name: name})
		t.index[key] = at
		return at, nil
	}
	old := t.nodes[at]
	switch {
	case old.kind == kindDir && k == kindDir:
		return at, nil
	case old.kind == kindLink && k == kindDir, old.kind == kindDir && k == kindLink:
		return noNode, refuse(entry, "needs "+quote(t.path(at))+" to be a directory and a symbolic link", "Store the directory itself.")
	case old.kind == kindDir || k == kindDir:
		return noNode, refuse(entry, "needs "+quote(t.path(at))+" to be a file and a directory", "Make the zip again.")
	}
	return noNode, refuse(entry, "is in the archive twice", "Make the zip again into a new file.")
}

// path returns the full path of a node.
func (t *tree) path(at int32) string {
	if t.nodes[at].parent == rootNode || at == rootNode {
		return t.nodes[at].name
	}
	return t.path(t.nodes[at].parent) + "/" + t.nodes[at].name
}

// setTarget remembers where a link points.
func (t *tree) setTarget(at int32, target string) error {
	if t.links += len(target); t.links > maxLinkBytes {
		return fault.Validation("The code zip holds symbolic links with more than %s of targets together. Store the files themselves.", bytesText(maxLinkBytes))
	}
	t.nodes[at].target = target
	return nil
}

// checkLink follows a link, through others too, and refuses it when any step
// leaves the root. A target that does not exist is allowed: opening it fails in
// the guest as it would anywhere.
func (t *tree) checkLink(link int32) error {
	const wayOut = "Store the file itself, and leave virtual environments out."
	at := place{node: t.nodes[link].parent}
	todo := []string{t.nodes[link].target}
	if strings.HasPrefix(todo[0], "/") {
		return refuse(t.path(link), "is a symbolic link to an absolute path", wayOut)
	}
	for hops := 1; len(todo) > 0; {
		last := len(todo) - 1
		part, rest, more := strings.Cut(todo[last], "/")
		if todo[last] = rest; !more {
			todo = todo[:last]
		}
		if t.steps--; t.steps < 0 {
			return fault.Validation("The code zip's symbolic links take more than %d steps to follow. Store the files themselves.", maxSteps)
		}
		if part == "" || part == "." {
			continue
		}
		if part == ".." {
			if !at.up(t) {
				return refuse(t.path(link), "is a symbolic link that leaves the archive's root", wayOut)
			}
			continue
		}
		next, isLink := at.down(t, part)
		if !isLink {
			continue
		}
		if hops++; hops > maxHops {
			return refuse(t.path(link), fmt.Sprintf("is a symbolic link through more than %d others", maxHops), "Break the loop.")
		}
		target := t.nodes[next].target
		if strings.HasPrefix(target, "/") {
			return refuse(t.path(link), "is a symbolic link that reaches an absolute path through "+quote(t.path(next)), wayOut)
		}
		todo = append(todo, target)
	}
	return nil
}

// place is where the resolution of a link stands: at a node, or some missing
// directories below one.
type place struct {
	node    int32
	missing int
}

func (p *place) up(t *tree) bool {
	switch {
	case p.missing > 0:
		p.missing--
	case p.node == rootNode:
		return false
	default:
		p.node = t.nodes[p.node].parent
	}
	return true
}

// down steps to the child called name, and stays when that is a link, which it
// returns.
func (p *place) down(t *tree, name string) (link int32, isLink bool) {
	at, ok := t.index[childKey{p.node, name}]
	if p.missing > 0 || !ok {
		p.missing++
		return noNode, false
	}
	if t.nodes[at].kind == kindLink {
		return at, true
	}
	p.node = at
	return noNode, false
}
