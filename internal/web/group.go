package web

import (
	"cmp"
	"time"
)

// group is the same problem at one or several objects.
type group struct {
	Problem              // the first one
	All, Shown []Problem // one or several
	Sites      int       // how many different ones
	Hidden     int
}

// cards are groups of problems with the time that they are seen from.
type cards struct {
	Now    time.Time
	Groups []group
	More   int  // problems in groups that are not among them
	Found  bool // say which run, or whose, found each
}

// cardsOf groups problems: those of a kind whose reason and remedy are the same are one card. In short, only some cards, and
// of each only some objects, are among them.
func cardsOf(now time.Time, problems []Problem, short bool) cards {
	type kind struct {
		state                      State
		part, step, reason, remedy string
	}
	c := cards{Now: now}
	index := map[kind]int{}
	for _, p := range problems {
		p.Reason = cmp.Or(p.Reason, noReason)
		k := kind{p.State, p.Part, p.Step, p.Reason, p.Remedy}
		i, ok := index[k]
		if !ok {
			i = len(c.Groups)
			index[k] = i
			c.Groups = append(c.Groups, group{Problem: p})
		}
		c.Groups[i].All = append(c.Groups[i].All, p)
	}
	of := map[where]int{}
	some := c.Groups[:0]
	for _, g := range c.Groups {
		g.sum()
		if short {
			w := where{g.Part, g.Site}
			if of[w]++; len(some) == someCards || g.Sites == 1 && of[w] > ofOnePlace {
				c.More += len(g.All)
				continue
			}
			g.Shown = g.All[:min(len(g.All), someObjects)]
			g.Hidden = len(g.All) - len(g.Shown)
		}
		some = append(some, g)
	}
	c.Groups = some
	return c
}

// sum counts sites, and finds since when the first of the problems is there.
func (g *group) sum() {
	g.Shown = g.All
	sites := map[string]bool{}
	for _, p := range g.All {
		sites[cmp.Or(p.Site, p.SiteName)] = true
		if !p.Since.IsZero() && (g.Since.IsZero() || p.Since.Before(g.Since)) {
			g.Since = p.Since
		}
	}
	g.Sites = len(sites)
}
