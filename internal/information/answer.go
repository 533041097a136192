package information

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// answer is what is answered when all went well.
type answer struct {
	body     []byte
	kind     string
	tag      string    // without quotes
	modified time.Time // zero = not known
	packed   func() []byte
}

const (
	kindJSON = "application/json"
	kindYAML = "application/yaml"
	kindLDIF = "text/plain; charset=utf-8" // a browser shows it, and none runs it
)

// jsonAnswer is a value as the original writes it: compact, and what is no ASCII as it is.
func jsonAnswer(value any) *answer {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil { // these are our own types: none of them can fail
		panic(err)
	}
	return newAnswer(bytes.TrimSuffix(b.Bytes(), []byte("\n")), kindJSON)
}

func newAnswer(body []byte, kind string) *answer {
	sum := sha256.Sum256(body)
	a := &answer{body: body, kind: kind, tag: hex.EncodeToString(sum[:12])}
	a.packed = func() []byte { return pack(a.body, gzip.BestSpeed) }
	return a
}

// kept makes an answer that is given many times: it is packed once.
func (a *answer) kept() *answer {
	a.packed = sync.OnceValue(func() []byte { return pack(a.body, gzip.DefaultCompression) })
	return a
}

var packers = [2]sync.Pool{}

func pack(body []byte, level int) []byte {
	pool := &packers[0]
	if level != gzip.BestSpeed {
		pool = &packers[1]
	}
	var b bytes.Buffer
	w, ok := pool.Get().(*gzip.Writer)
	if ok {
		w.Reset(&b)
	} else {
		w, _ = gzip.NewWriterLevel(&b, level) // both levels are valid
	}
	_, _ = w.Write(body) // into memory
	_ = w.Close()
	pool.Put(w)
	return b.Bytes()
}

// worthPacking is the size from which packing saves more than it costs.
const worthPacking = 1 << 10

// give sends an answer, or says that the asker has it.
func (a *answer) give(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "public, max-age=60")
	h.Add("Vary", "Accept-Encoding")
	packed := len(a.body) >= worthPacking && accepts(r.Header.Values("Accept-Encoding"))
	tag := a.tag
	if packed {
		tag += "-gzip"
	}
	h.Set("ETag", `"`+tag+`"`)
	if !a.modified.IsZero() {
		h.Set("Last-Modified", a.modified.UTC().Format(http.TimeFormat))
	}
	if a.had(r) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := a.body
	h.Set("Content-Type", a.kind)
	if packed {
		body = a.packed()
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body)
}

// had tells whether the asker has the answer, by its tag or else by its date.
func (a *answer) had(r *http.Request) bool {
	if tags := r.Header.Values("If-None-Match"); len(tags) > 0 {
		for _, t := range strings.Split(strings.Join(tags, ","), ",") {
			t = strings.TrimSpace(t)
			if t == "*" {
				return true
			}
			t = strings.Trim(strings.TrimPrefix(t, "W/"), `"`)
			if strings.TrimSuffix(t, "-gzip") == a.tag {
				return true
			}
		}
		return false
	}
	since, err := http.ParseTime(r.Header.Get("If-Modified-Since"))
	return err == nil && !a.modified.IsZero() && !a.modified.Truncate(time.Second).After(since)
}

// accepts tells whether gzip is accepted.
func accepts(encodings []string) bool {
	star := false
	for _, e := range strings.Split(strings.Join(encodings, ","), ",") {
		name, params, _ := strings.Cut(e, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		if name != "gzip" && name != "*" {
			continue
		}
		good := true
		if q, ok := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(params), " ", ""), "q="); ok {
			v, err := strconv.ParseFloat(q, 64)
			good = err == nil && v > 0
		}
		if name == "gzip" {
			return good
		}
		star = good
	}
	return star
}
