package web

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// headline is the first page in one line.
type headline struct {
	State State
	Words string
	More  string // what follows from it
}

// headlineOf says how everything is.
func headlineOf(o Overview) headline {
	failed, warned, muted, down := 0, 0, 0, 0
	for _, p := range o.Problems {
		switch p.State {
		case Off:
			muted++
		case InDowntime:
			down++
		case Fail:
			failed++
		case Warn:
			warned++
		}
	}
	ran := slices.ContainsFunc(o.Tasks, func(t Task) bool { return t.Last != nil || t.Running != nil })
	h := headline{State: o.State}
	switch {
	case failed > 0 && warned > 0:
		h.Words = several(failed, "problem", "problems") + ", " + several(warned, "warning", "warnings")
	case failed > 0:
		h.Words = several(failed, "problem", "problems")
	case warned > 0:
		h.Words = several(warned, "warning", "warnings")
	case len(o.Places) == 0:
		h.State, h.Words = Unknown, "No site is configured"
		h.More = "fedsite config init --site NAME writes a first configuration; systemctl reload fedsite takes it."
	case !ran:
		h.State, h.Words = Unknown, "Nothing has run yet"
	case o.State == Off:
		h.Words = "Everything is off"
	case o.State == Unknown:
		h.Words, h.More = "Not all is known yet", "What is known is well."
	case down > 0 && muted > 0:
		h.State, h.Words = InDowntime, "All is well but for what is in a downtime or muted"
	case down > 0:
		h.State, h.Words = InDowntime, "All is well but for what is in a downtime"
	case muted > 0:
		h.State, h.Words = Off, "All is well but for what is muted"
	default:
		h.Words = "All is well"
	}
	return h
}

// tile is a part in short, over all sites.
type tile struct {
	Part  string
	State State
	Words string // "298 ok, 1 warning, 1 failed"
	Mode  string // of all its places, or "" when they differ
}

// parts are in the order of the pipelines; others come after them, by name.
var parts = []string{"accounting", "discovery", "images", "access", "service"}

func tilesOf(o Overview) []tile {
	of := map[string][]Place{}
	for _, p := range o.Places {
		of[p.Part] = append(of[p.Part], p)
	}
	var tiles []tile
	for part, places := range of {
		t := tile{Part: part, Mode: places[0].Mode}
		n := map[State]int{}
		var states []State
		for _, p := range places {
			n[p.Health.State.known()]++
			states = append(states, p.Health.State)
			if p.Mode != t.Mode {
				t.Mode = ""
			}
		}
		t.State = Worst(states...)
		var words []string
		for _, s := range []State{Fail, Warn, Unknown, OK, InDowntime, Off} {
			if n[s] > 0 {
				many := show(s).Word
				if s == Warn {
					many = "warnings"
				}
				words = append(words, several(n[s], show(s).Word, many))
			}
		}
		if len(places) > 1 {
			t.Words = strings.Join(words, ", ")
		} else {
			t.Words = places[0].Health.Reason
		}
		tiles = append(tiles, t)
	}
	place := func(part string) int {
		if i := slices.Index(parts, part); i >= 0 {
			return i
		}
		return len(parts)
	}
	slices.SortFunc(tiles, func(a, b tile) int {
		return cmp.Or(cmp.Compare(place(a.Part), place(b.Part)), cmp.Compare(a.Part, b.Part))
	})
	return tiles
}

// modes says what the modes of the places mean for what will happen.
func modes(o Overview) string {
	n := map[string]int{}
	for _, p := range o.Places {
		n[p.Mode]++
	}
	switch {
	case n["active"] == 0 && n["observe"] > 0:
		return "Everything only observes: it asks, counts and shows; nothing is sent or changed anywhere."
	case n["active"] > 0 && n["observe"] > 0:
		return "Parts in mode active send what they find; those in mode observe only show it."
	}
	return ""
}

// placed are places with the time that they are seen from.
type placed struct {
	Now    time.Time
	Places []Place
}

func placesOf(now time.Time, places []Place) placed { return placed{now, places} }
