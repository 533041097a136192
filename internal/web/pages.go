package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// How much a page shows of what can be much; the rest is a link away.
const (
	someCards   = 50 // of problems
	ofOnePlace  = 10 // of those, so that one place does not hide the others
	someObjects = 8  // on a card
	somePlaces  = 24 // that are well
)

// maxName is longer than a name of a task can be.
const maxName = 300

// frame is what all pages have, around what is theirs.
type frame struct {
	Title   string
	At      string // of which part of the menu it is
	Style   string
	Now     time.Time
	Refresh int    // seconds; 0 = it stays as it is
	Turn    string // address of the same page, refreshing itself, or not any more
	JSON    string // address of the same as JSON
	Service *Overview
	Notice  string // for every page
	Metrics bool
	Body    any
}

// overview asks the source for the state of everything.
func (s *Server) overview(r *http.Request) (Overview, error) {
	ctx, cancel := context.WithTimeout(r.Context(), s.patience)
	defer cancel()
	o, err := s.source.Overview(ctx)
	if err != nil {
		return Overview{}, fmt.Errorf("overview: %w", err)
	}
	o.arrange()
	return o, nil
}

// task asks the source for a task.
func (s *Server) task(r *http.Request, name string) (TaskPage, error) {
	if name == "" || len(name) > maxName {
		return TaskPage{}, ErrNotFound
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.patience)
	defer cancel()
	page, err := s.source.Task(ctx, name)
	if err != nil {
		return TaskPage{}, fmt.Errorf("task %s: %w", name, err)
	}
	page.History = list(page.History)
	return page, nil
}

// run asks the source for a run.
func (s *Server) run(r *http.Request, task string, fence int64) (RunPage, error) {
	if len(task) > maxName {
		return RunPage{}, ErrNotFound
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.patience)
	defer cancel()
	page, err := s.source.Run(ctx, task, fence)
	if err != nil {
		return RunPage{}, fmt.Errorf("run %d of task %s: %w", fence, task, err)
	}
	page.arrange()
	return page, nil
}

// split takes an address below /tasks/ apart: a task's name, and a run's number if it ends in one. No name ends in digits
// only: a kind has a point in it, a site's id a hyphen.
func split(rest string) (task string, fence int64) {
	rest = strings.TrimSuffix(rest, "/")
	i := strings.LastIndexByte(rest, '/')
	if i < 0 {
		return rest, 0
	}
	last := rest[i+1:]
	if n, err := strconv.ParseInt(last, 10, 64); err == nil && n > 0 && strconv.FormatInt(n, 10) == last {
		return rest[:i], n
	}
	return rest, 0
}

// overviewBody is the first page's own.
type overviewBody struct {
	Overview
	Head      headline
	Tiles     []tile
	Cards     cards
	Loud      []Place // shown at once
	Quiet     []Place // folded away: they are well, and many
	Running   []Task
	Paused    []Task
	Overdue   []Task
	Names     []string // of its sites
	SomeSites bool     // more than one
	First     *Task    // what runs next
	Ran       bool     // something has run
	Modes     string   // what the modes mean for what will happen
}

func (s *Server) overviewPage(w http.ResponseWriter, r *http.Request) {
	o, err := s.overview(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	b := overviewOf(o, r.URL.Query().Get("problems") == "all")
	title := b.Head.Words
	if len(b.Names) == 1 {
		title += " · " + visible(b.Names[0], maxCell)
	}
	s.page(w, r, "overview.html", frame{Title: title, At: "overview", Now: o.Now, Refresh: 60, Service: &o, Body: b})
}

// overviewOf chooses what of everything is shown at once.
func overviewOf(o Overview, allProblems bool) overviewBody {
	b := overviewBody{Overview: o, Head: headlineOf(o), Tiles: tilesOf(o), Cards: cardsOf(o.Now, o.Problems, !allProblems), Loud: o.Places, Modes: modes(o)}
	if len(o.Places) > somePlaces {
		well := slices.IndexFunc(o.Places, func(p Place) bool { return p.Health.State.rank() <= OK.rank() })
		if well >= 0 && len(o.Places)-well > somePlaces {
			b.Loud, b.Quiet = o.Places[:well], o.Places[well:]
		}
	}
	for _, p := range o.Places {
		if name := cmp.Or(p.SiteName, p.Site); p.Site != "" && !slices.Contains(b.Names, name) {
			b.Names = append(b.Names, name)
		}
	}
	b.SomeSites = len(b.Names) > 1
	b.Cards.Found = true
	for i, t := range o.Tasks {
		b.Ran = b.Ran || t.Last != nil || t.Running != nil
		if due := t.next(o.Now); t.Running == nil && !due.IsZero() && (b.First == nil || due.Before(b.First.next(o.Now))) {
			b.First = &o.Tasks[i]
		}
		switch t.condition(o.Now) {
		case "running", "stopping":
			b.Running = append(b.Running, t)
		case "paused":
			b.Paused = append(b.Paused, t)
		case "overdue":
			b.Overdue = append(b.Overdue, t)
		}
	}
	return b
}

// tasksBody is the list of tasks, or of some of them.
type tasksBody struct {
	Tasks   []Task
	All     int
	Query   string
	Only    string
	Choices []string
}

func (s *Server) tasksPage(w http.ResponseWriter, r *http.Request) {
	o, err := s.overview(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	b := tasksBody{All: len(o.Tasks), Query: strings.TrimSpace(r.URL.Query().Get("q")), Only: r.URL.Query().Get("only"), Choices: []string{"not well", "running", "paused", "overdue"}}
	if !slices.Contains(b.Choices, b.Only) {
		b.Only = ""
	}
	for _, t := range o.Tasks {
		if t.fits(b.Query, b.Only, o.Now) {
			b.Tasks = append(b.Tasks, t)
		}
	}
	s.page(w, r, "tasks.html", frame{Title: "Tasks", At: "tasks", Now: o.Now, Refresh: 60, Service: &o, Body: b})
}

// fits tells whether a task is one of those that were asked for.
func (t Task) fits(query, only string, now time.Time) bool {
	query = strings.ToLower(query)
	if !strings.Contains(strings.ToLower(t.Name), query) && !strings.Contains(strings.ToLower(t.SiteName), query) {
		return false
	}
	switch only {
	case "":
		return true
	case "not well":
		return t.condition(now) == "overdue" || t.Last != nil && t.Last.state().rank() > Unknown.rank()
	case "running":
		return t.Running != nil
	}
	return t.condition(now) == only
}

func (s *Server) taskPage(w http.ResponseWriter, r *http.Request) {
	name, fence := split(r.PathValue("rest"))
	if fence > 0 {
		s.runPage(w, r, name, fence)
		return
	}
	if name == "" {
		http.Redirect(w, r, "/tasks", http.StatusMovedPermanently)
		return
	}
	page, err := s.task(r, name)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.page(w, r, "task.html", frame{Title: "Task " + visible(name, maxCell), At: "tasks", Now: page.Now, Refresh: 10, Body: page})
}

func (s *Server) runPage(w http.ResponseWriter, r *http.Request, task string, fence int64) {
	page, err := s.run(r, task, fence)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	f := frame{Title: fmt.Sprintf("Run %d of %s", fence, visible(task, maxCell)), At: "tasks", Now: page.Now, Body: runBody{page, cardsOf(page.Now, page.Problems, false)}}
	if page.Run.Outcome == "" {
		f.Refresh = 10 // what has ended stays as it is
	}
	s.page(w, r, "run.html", f)
}

// runBody is the report of a run.
type runBody struct {
	RunPage
	Cards cards
}

// page writes a page, in whole or not at all. Its f.Refresh is how often it refreshes itself for readers who want that.
func (s *Server) page(w http.ResponseWriter, r *http.Request, name string, f frame) {
	f.Notice, f.Metrics = s.notice, s.metrics
	f.Style, f.Now, f.JSON = s.style, f.Now.UTC(), "/api/v1"+r.URL.EscapedPath()
	if r.URL.Path == "/" {
		f.JSON = "/api/v1/overview"
	}
	if f.Refresh > 0 {
		q := r.URL.Query()
		if on := q.Has("refresh"); on {
			q.Del("refresh")
		} else {
			q.Set("refresh", strconv.Itoa(f.Refresh))
			f.Refresh = 0
		}
		f.Turn = (&url.URL{Path: r.URL.Path, RawQuery: q.Encode()}).String()
	}
	var out bytes.Buffer
	if err := s.pages.ExecuteTemplate(&out, name, f); err != nil {
		s.refuse(w, r, fmt.Errorf("template %s: %w", name, err))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(out.Bytes())
}

// fail answers with a status and its constant words.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, status int) {
	if api(r) {
		text, _ := json.Marshal(map[string]string{"error": said[status]})
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(append(text, '\n'))
		return
	}
	var out bytes.Buffer
	f := frame{Title: http.StatusText(status), Style: s.style, Notice: s.notice, Metrics: s.metrics, Body: said[status]}
	if err := s.pages.ExecuteTemplate(&out, "error.html", f); err != nil {
		s.log.Error("the page of an error could not be made", "error", err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes())
}
