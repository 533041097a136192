package web

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// TaskList is what /api/v1/tasks gives.
type TaskList struct {
	Now   time.Time `json:"now"`
	Tasks []Task    `json:"tasks"`
}

func (s *Server) overviewValue(w http.ResponseWriter, r *http.Request) {
	o, err := s.overview(r)
	o.Tasks = nil
	s.value(w, r, o, err)
}

func (s *Server) tasksValue(w http.ResponseWriter, r *http.Request) {
	o, err := s.overview(r)
	s.value(w, r, TaskList{Now: o.Now, Tasks: o.Tasks}, err)
}

func (s *Server) taskValue(w http.ResponseWriter, r *http.Request) {
	name, fence := split(r.PathValue("rest"))
	if fence > 0 {
		page, err := s.run(r, name, fence)
		s.value(w, r, page, err)
		return
	}
	page, err := s.task(r, name)
	s.value(w, r, page, err)
}

// value writes a value as JSON.
func (s *Server) value(w http.ResponseWriter, r *http.Request, value any, err error) {
	var text []byte
	if err == nil {
		text, err = json.Marshal(value)
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n'))
}

// api tells whether a request asks for a value, and not for a page.
func api(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }
