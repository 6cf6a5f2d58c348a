package oci

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
)

const (
	// maxHops is how many links a path may lead through (path_resolution(7)).
	maxHops = 40
	// maxSteps bounds the names looked at to compose an image: a link of 4096
	// bytes in every path would otherwise cost more than its size.
	maxSteps = 1 << 25
	// maxImplicit bounds the directories that no layer lists: two bytes of a path
	// are one more.
	maxImplicit = 1 << 18
)

// A tree is an image's file system in memory, composed layer by layer.
type tree struct {
	root     *node
	steps    int
	implicit int // directories that no layer lists
}

// A node is a file, link or directory; a file or link with several names is one
// node.
type node struct {
	entry
	layer    int // whose content File is
	names    int // of a file
	children map[string]*node
}

func newTree() *tree { return &tree{root: implicitDir()} }

// implicitDir is a directory that no layer lists.
func implicitDir() *node {
	return &node{entry: entry{Kind: kindDir, Mode: 0o755}, children: map[string]*node{}}
}

// apply lays a layer over what is there. What it hides is hidden first: a
// whiteout is about the layers below, wherever it stands in its archive.
func (t *tree) apply(layer int, entries []entry) error {
	for i := range entries {
		if err := t.hide(&entries[i]); err != nil {
			return err
		}
	}
	for i := range entries {
		if err := t.add(layer, &entries[i]); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) hide(e *entry) error {
	switch e.Kind {
	case kindOpaque:
		dir, err := t.dir(e.Path, false)
		if err == nil && dir != nil {
			clear(dir.children)
		}
		return err
	case kindWhiteout:
		dir, err := t.dir(parent(e.Path), false)
		if err == nil && dir != nil {
			delete(dir.children, path.Base(e.Path))
		}
		return err
	}
	return nil
}

func (t *tree) add(layer int, e *entry) error {
	if e.Kind == kindWhiteout || e.Kind == kindOpaque {
		return nil
	}
	if e.Path == "" {
		t.root.entry = *e
		return nil
	}
	dir, err := t.dir(parent(e.Path), true)
	if err != nil {
		return err
	}
	name := path.Base(e.Path)
	old := dir.children[name]
	switch {
	case e.Kind == kindDevice:
		delete(dir.children, name)
	case e.Kind == kindHard:
		target, err := t.target(e)
		if err != nil || target == old {
			return err
		}
		target.names++
		dir.children[name] = target
	case e.Kind == kindDir && old != nil && old.Kind == kindDir:
		old.entry = *e
	case e.Kind == kindDir:
		dir.children[name] = &node{entry: *e, children: map[string]*node{}}
	default:
		dir.children[name] = &node{entry: *e, layer: layer, names: 1}
	}
	return nil
}

// target is what a hard link names.
func (t *tree) target(e *entry) (*node, error) {
	dir, err := t.dir(parent(e.Link), false)
	if err != nil {
		return nil, err
	}
	var n *node
	if dir != nil && e.Link != "" {
		n = dir.children[path.Base(e.Link)]
	}
	if n == nil || n.Kind == kindDir {
		return nil, refuse(e.Path, fmt.Sprintf("is a hard link to %s, which is no file of this layer or those below", quote(e.Link)))
	}
	return n, nil
}

// parent is path.Dir with an empty root.
func parent(p string) string {
	if i := strings.LastIndexByte(p, '/'); i >= 0 {
		return p[:i]
	}
	return ""
}

// dir finds a directory as a process sees it whose root is the image: symbolic
// links are followed, and neither they nor .. lead out. What is missing is made,
// or nil is the answer.
func (t *tree) dir(p string, make bool) (*node, error) {
	at := []*node{t.root}
	rest := []string{p} // paths to follow, the next one last
	hops := 0
	for len(rest) > 0 {
		var name string
		last := len(rest) - 1
		name, rest[last], _ = strings.Cut(rest[last], "/")
		if rest[last] == "" {
			rest = rest[:last]
		}
		if t.steps++; t.steps > maxSteps {
			return nil, fault.Validation("The image is refused: its links lead through so many others that following them takes too long.")
		}
		switch name {
		case "", ".":
			continue
		case "..":
			at = at[:max(1, len(at)-1)]
			continue
		}
		here := at[len(at)-1]
		child := here.children[name]
		if child == nil {
			if !make {
				return nil, nil
			}
			if t.implicit++; t.implicit > maxImplicit {
				return nil, fault.Validation("The image is refused: more than %d directories are in paths of its layers but not listed themselves.", maxImplicit)
			}
			child = implicitDir()
			here.children[name] = child
		}
		switch child.Kind {
		case kindDir:
			if at = append(at, child); len(at) > maxDepth {
				return nil, refuse(p, fmt.Sprintf("lies more than %d directories deep once its links are followed", maxDepth))
			}
		case kindSymlink:
			if hops++; hops > maxHops {
				return nil, refuse(p, fmt.Sprintf("leads through more than %d links", maxHops))
			}
			if child.Link[0] == '/' {
				at = at[:1]
			}
			rest = append(rest, child.Link)
		default:
			if make {
				return nil, refuse(p, "lies below what is no directory")
			}
			return nil, nil
		}
	}
	return at[len(at)-1], nil
}

// find returns the file that a process of the image would open, or nil.
func (t *tree) find(p string) *node {
	for range maxHops {
		dir, err := t.dir(parent(p), false)
		if err != nil || dir == nil {
			return nil
		}
		n := dir.children[path.Base(p)]
		if n == nil || n.Kind == kindFile {
			return n
		}
		if n.Kind != kindSymlink {
			return nil
		}
		if path.IsAbs(n.Link) {
			p = strings.TrimPrefix(path.Clean(n.Link), "/")
		} else {
			// The link's own directory was found through links itself: .. in it
			// would lead elsewhere, and no image's /etc/passwd has any.
			p = strings.TrimPrefix(path.Clean("/"+parent(p)+"/"+n.Link), "/")
		}
	}
	return nil
}

// walk calls f for everything below the root, directories before what is in them,
// in the order of names.
func (t *tree) walk(f func(path string, n *node) error) error {
	var walk func(string, *node) error
	walk = func(prefix string, dir *node) error {
		for _, name := range slices.Sorted(maps.Keys(dir.children)) {
			n := dir.children[name]
			if err := f(prefix+name, n); err != nil {
				return err
			}
			if n.Kind == kindDir {
				if err := walk(prefix+name+"/", n); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return walk("", t.root)
}
