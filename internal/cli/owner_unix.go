//go:build unix

package cli

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// ownerOf names the user who owns a file, or who keeps us from seeing it, as root
// does with all that is in /root. It is "" when that cannot be told.
func ownerOf(path string) string {
	info, err := os.Stat(path)
	for errors.Is(err, fs.ErrPermission) && path != filepath.Dir(path) {
		path = filepath.Dir(path)
		info, err = os.Stat(path)
	}
	if err != nil {
		return ""
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return userName(int(st.Uid))
	}
	return ""
}

// userName is the login name of uid, or its number in words.
func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "user " + strconv.Itoa(uid)
}
