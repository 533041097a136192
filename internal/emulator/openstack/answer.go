package openstack

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

type object = map[string]any

// service gives the service that a path belongs to, and the path below its root.
func service(r *http.Request) (name, path string) {
	name, path, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return name, "/" + path
}

// mark gives an answer the headers that all answers of a service have. The lists of versions of Nova, Glance and Neutron are
// answered before a request gets an id.
func mark(w http.ResponseWriter, r *http.Request) {
	id := "req-" + randomID()
	name, path := service(r)
	switch {
	case name == "identity":
		w.Header().Set("Vary", "X-Auth-Token")
	case path == "/" && name != "volume", path == "/versions":
		return
	case name == "compute":
		w.Header().Set("X-Compute-Request-Id", id)
	}
	w.Header().Set("X-Openstack-Request-Id", id)
}

func reply(w http.ResponseWriter, status int, body any) { replyAs(w, status, "application/json", body) }

func replyAs(w http.ResponseWriter, status int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// faultNames are the keys of Nova's and Cinder's errors.
var faultNames = map[int]string{
	http.StatusBadRequest: "badRequest", http.StatusForbidden: "forbidden", http.StatusNotFound: "itemNotFound", http.StatusConflict: "conflictingRequest",
	http.StatusRequestEntityTooLarge: "overLimit", http.StatusServiceUnavailable: "serviceUnavailable",
}

// refuse answers in the shape of each service's errors.
func refuse(w http.ResponseWriter, r *http.Request, status int, message string) {
	switch name, _ := service(r); name {
	case "identity":
		reply(w, status, object{"error": object{"code": status, "message": message, "title": http.StatusText(status)}})
	case "compute", "volume":
		key := faultNames[status]
		if key == "" {
			key = "computeFault"
		}
		contentType := "application/json"
		if name == "compute" {
			contentType += "; charset=UTF-8"
		}
		replyAs(w, status, contentType, object{key: object{"code": status, "message": message}})
	case "network":
		reply(w, status, object{"NeutronError": object{"type": "HTTP" + strings.ReplaceAll(http.StatusText(status), " ", ""), "message": message, "detail": ""}})
	default:
		refusePlainly(w, r, status, message)
	}
}

// refusePlainly answers as the library below Glance, and below Nova where no handler is reached: JSON for who asks for it.
func refusePlainly(w http.ResponseWriter, r *http.Request, status int, message string) {
	title := http.StatusText(status)
	if strings.Contains(r.Header.Get("Accept"), "json") {
		reply(w, status, object{"message": message + "<br /><br />\n\n\n", "code": fmt.Sprintf("%d %s", status, title), "title": title})
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<html>\n <head>\n  <title>%d %s</title>\n </head>\n <body>\n  <h1>%d %s</h1>\n  %s<br /><br />\n\n\n\n </body>\n</html>", status, title, status, title, message)
}

// nowhere answers to paths that no service has.
func (c *Cloud) nowhere() {
	for _, root := range []string{"identity", "compute", "image", "network", "volume"} {
		c.mux.HandleFunc("/"+root+"/", func(w http.ResponseWriter, r *http.Request) {
			switch root {
			case "identity":
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				w.WriteHeader(http.StatusNotFound)
				fmt.Fprint(w, "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>The requested URL was not found on the server.</p>\n")
			case "network":
				c.authed(func(w http.ResponseWriter, r *http.Request, _ *token) {
					refuse(w, r, http.StatusNotFound, "The resource could not be found.")
				})(w, r)
			default:
				c.authed(func(w http.ResponseWriter, r *http.Request, _ *token) {
					refusePlainly(w, r, http.StatusNotFound, "The resource could not be found.")
				})(w, r)
			}
		})
	}
}

// authed lets a request through that carries a good token. The others are refused by Keystone itself, or by its middleware in
// the service, which has one shape for all, but for Glance.
func (c *Cloud) authed(h func(http.ResponseWriter, *http.Request, *token)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		t := c.tokenOf(r)
		name, _ := service(r)
		if t != nil {
			if name == "volume" {
				c.volumeVersion(w, r)
			}
			h(w, r, t)
			return
		}
		if name == "identity" {
			c.unauthorized(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Keystone uri="`+c.Base()+`/identity"`)
		if name == "image" {
			w.Header().Del("X-Openstack-Request-Id") // it is given one later
			refusePlainly(w, r, http.StatusUnauthorized, "This server could not verify that you are authorized to access the document you requested.")
			return
		}
		reply(w, http.StatusUnauthorized, object{"error": object{"code": http.StatusUnauthorized, "title": "Unauthorized", "message": "The request you have made requires authentication."}})
	}
}

// unauthorized is Keystone's own answer to who it does not know, or who may not have the token that is asked for.
func (c *Cloud) unauthorized(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("WWW-Authenticate", `Keystone uri="`+c.AuthURL()+`"`)
	refuse(w, r, http.StatusUnauthorized, "The request you have made requires authentication.")
}

// next is the link to the page that follows a thing: Nova and Cinder sort the parameters, and put the marker behind them on
// the first page.
func (c *Cloud) next(r *http.Request, id string) []object {
	query, behind := r.URL.Query(), ""
	if query.Has("marker") {
		query.Set("marker", id)
	} else if behind = "marker=" + url.QueryEscape(id); len(query) > 0 {
		behind = "&" + behind
	}
	return []object{{"rel": "next", "href": c.Base() + r.URL.Path + "?" + query.Encode() + behind}}
}
