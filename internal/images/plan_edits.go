package images

import (
	"maps"
	"slices"
	"strconv"
	"time"
)

// Names of edits that are no properties.
const (
	editName       = "name"
	editVisibility = "visibility"
	editHidden     = "os_hidden"
	editMinRAM     = "min_ram"
	editMinDisk    = "min_disk"
)

// visibility is what an image of ours is to have.
func (s Settings) visibility(guests int) string {
	if s.Sharing == Share && guests > 0 && s.Visibility != "public" && s.Visibility != "community" {
		return "shared"
	}
	return s.Visibility
}

// edits gives what of an image is otherwise than it is to be, once it is active.
func (p *planner) edits(w want, x present) []Edit {
	d := describe(w.entry, w.also, x.m.Virtual, p.s)
	d.Properties[markState] = string(Active)
	all := core(d, x)
	visibility := p.s.visibility(len(w.members))
	if p.s.Sharing == Copy && (x.m.Former != nil || !p.ours(x)) && visibility == "private" && x.Visibility != "" {
		visibility = x.Visibility // others may use an image that was taken over, and may not have their own yet
	}
	all = append(all, p.shown(x, visibility, false)...)
	all = append(all, properties(x.Properties, d.Properties, mine(x.m))...)
	if x.m.Manager == Cloudkeeper || x.m.Manager == Atrope {
		all = append(all, Edit{Name: markFormer, Added: true}) // its value says all of this, and is made when it is done
	}
	return all
}

// core compares what is no property.
func core(d Description, x present) []Edit {
	var all []Edit
	note := func(name, from, to string) {
		if from != to {
			all = append(all, Edit{Name: name, From: from, To: to})
		}
	}
	note(editName, x.Name, d.Name)
	note(editMinRAM, strconv.FormatInt(x.MinRAM, 10), strconv.FormatInt(d.MinRAM, 10))
	if d.MinDisk > 0 {
		note(editMinDisk, strconv.FormatInt(x.MinDisk, 10), strconv.FormatInt(d.MinDisk, 10))
	}
	return all
}

// shown compares who sees the image. An old Glance calls a shared image private, and cannot hide one.
func (p *planner) shown(x present, visibility string, hidden bool) []Edit {
	place := p.cloud.Places[x.Owner]
	if place.Plain && visibility != "public" {
		visibility = "private"
	}
	var all []Edit
	if x.Visibility != visibility {
		all = append(all, Edit{Name: editVisibility, From: x.Visibility, To: visibility})
	}
	if place.Hides && x.Hidden != hidden {
		all = append(all, Edit{Name: editHidden, From: strconv.FormatBool(x.Hidden), To: strconv.FormatBool(hidden)})
	}
	return all
}

// mine are the properties of an image of ours that are taken away when nothing says them any more.
func mine(m Marks) []string {
	if m.Manager == "" {
		return nil
	}
	return slices.Concat(described, []string{markRetired, markReason}, m.Static)
}

// properties compares those that an image has with those that it is to have. Others stay as they are.
func properties(has, wanted map[string]string, mine []string) []Edit {
	var all []Edit
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if from, there := has[name]; !there || from != wanted[name] {
			all = append(all, Edit{Name: name, From: from, To: wanted[name], Added: !there})
		}
	}
	for _, name := range slices.Sorted(slices.Values(mine)) {
		_, there := has[name]
		if _, stays := wanted[name]; there && !stays {
			all = append(all, Edit{Name: name, From: has[name], Removed: true})
		}
	}
	return slices.CompactFunc(all, func(a, b Edit) bool { return a.Name == b.Name })
}

// leave gives the edits by which an image goes out of sight: hidden, private, marked.
func (p *planner) leave(x present, state State, reason string) []Edit {
	marks := map[string]string{markState: string(state), markReason: cut(reason, longestName), propStatus: "EOL"}
	if x.m.Retired.IsZero() {
		marks[markRetired] = p.o.At.UTC().Format(time.RFC3339)
	}
	return append(p.shown(x, "private", true), properties(x.Properties, marks, nil)...)
}

// spoilt tells whether Glance has another content than the one that an upload was to bring, as far as that can be told.
func (x present) spoilt() bool {
	if x.HashAlgo != SHA512 {
		return false
	}
	if x.m.Digest.Algorithm() == SHA512 && x.m.Converted == "" {
		return x.HashValue != x.m.Digest.Hex()
	}
	return x.m.Hash != "" && x.HashValue != x.m.Hash
}

// sum is the edit by which an image says what its content is.
func (x present) sum() []Edit {
	if x.HashAlgo != SHA512 {
		return nil
	}
	return properties(x.Properties, map[string]string{markHash: x.HashValue}, nil)
}
