package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/fedsite/fedsite/internal/run"
)

// serviceUser is who owns the state directory that root makes, if there is such a user: packages make it.
const serviceUser = "fedsite"

// dropRoot gives root's rights up for those of the state directory's owner, so that nothing that sudo fedsite leaves
// there is out of the service's reach (design §4, CLI). A directory of root's own changes nothing.
func (c *cli) dropRoot(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	owner, group, err := ownerOf(dir)
	if err != nil || owner == 0 {
		return err
	}
	groups := []int{group}
	name := strconv.Itoa(owner)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
		ids, _ := u.GroupIds() // without them the directory's group is enough for the state
		for _, id := range ids {
			if n, err := strconv.Atoi(id); err == nil && n != group {
				groups = append(groups, n)
			}
		}
	}
	if err := errors.Join(syscall.Setgroups(groups), syscall.Setgid(group), syscall.Setuid(owner)); err != nil {
		return &exit{code: run.ExitFailed, err: fmt.Errorf("become user %s, who owns %s: %w", name, dir, err), hint: "run fedsite as that user: sudo -u " + name + " fedsite …"}
	}
	c.became = fmt.Sprintf("root becomes %s here, who owns %s: let that user read or write it, or name another place", name, dir)
	return nil
}

// ownerOf gives owner and group of the state directory. One that is not there yet is made for the service's user, if
// there is one; else root will own it.
func ownerOf(dir string) (owner, group int, err error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		u, err := user.Lookup(serviceUser)
		if err != nil {
			return 0, 0, nil //nolint:nilerr // no such user: the directory will be root's
		}
		if owner, err = strconv.Atoi(u.Uid); err != nil {
			return 0, 0, err
		}
		if group, err = strconv.Atoi(u.Gid); err != nil {
			return 0, 0, err
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(dir), 0o755), os.Mkdir(dir, 0o700), os.Chown(dir, owner, group)); err != nil {
			return 0, 0, fmt.Errorf("state directory: %w", err)
		}
		return owner, group, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("state directory: %w", err)
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, nil
	}
	return int(s.Uid), int(s.Gid), nil
}
