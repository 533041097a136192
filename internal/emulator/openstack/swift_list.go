package openstack

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// listAccount lists the containers of an account.
func (q *swiftCall) listAccount() {
	all := q.c.storage.accounts[q.project]
	names, ok := q.page(slices.Sorted(maps.Keys(all)), "")
	if !ok {
		return
	}
	q.list(names, func(name string) object {
		b := all[name]
		return object{"name": name, "count": len(b.objects), "bytes": b.bytes(), "last_modified": q.modified(b.created)}
	})
}

// listContainer lists the objects of a container.
func (q *swiftCall) listContainer(b *container) {
	names, ok := q.page(slices.Sorted(maps.Keys(b.objects)), q.r.URL.Query().Get("delimiter"))
	if !ok {
		return
	}
	q.describe(b)
	q.list(names, func(name string) object {
		o := b.objects[name]
		if o == nil {
			return object{"subdir": name}
		}
		return object{"name": name, "hash": o.sum, "bytes": len(o.body), "content_type": o.contentType, "last_modified": q.modified(o.at)}
	})
}

// page takes of the sorted names those that the request asks for; what they have in common up to a delimiter is one name.
func (q *swiftCall) page(names []string, delimiter string) ([]string, bool) {
	query := q.r.URL.Query()
	most := longestPage
	if n := q.c.opts.Storage.Page; n != 0 {
		most = n
	}
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err == nil && n > longestPage {
			q.refuse(http.StatusPreconditionFailed, "Maximum limit is 10000")
			return nil, false
		}
		if err == nil && n >= 0 {
			most = min(n, most)
		}
	}
	prefix, marker, end := query.Get("prefix"), query.Get("marker"), query.Get("end_marker")
	var page []string
	for _, name := range names {
		below, fits := strings.CutPrefix(name, prefix)
		if !fits {
			continue
		}
		if before, _, inside := strings.Cut(below, delimiter); delimiter != "" && inside {
			name = prefix + before + delimiter
		}
		if name <= marker || (end != "" && name >= end) || slices.Contains(page, name) {
			continue
		}
		if len(page) == most {
			break
		}
		page = append(page, name)
	}
	return page, true
}

func (q *swiftCall) asJSON() bool {
	return q.r.URL.Query().Get("format") == "json" || strings.Contains(q.r.Header.Get("Accept"), "application/json")
}

// list answers as JSON to who asks for it, else with a name a line.
func (q *swiftCall) list(names []string, entry func(string) object) {
	if q.asJSON() {
		all := make([]object, len(names))
		for i, name := range names {
			all[i] = entry(name)
		}
		replyAs(q.w, http.StatusOK, jsonType, all)
		return
	}
	q.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if len(names) == 0 {
		q.w.WriteHeader(http.StatusNoContent)
		return
	}
	_, _ = q.w.Write([]byte(strings.Join(names, "\n") + "\n"))
}
